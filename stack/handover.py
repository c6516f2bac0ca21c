"""The hooks that make a switch break before make: they run inside the update, and only when something changes hands.

What they wait for is decided and looked up in ``one_consumer/live``; this module tells them which queue and how long.
They import AWS's clients when they run: most updates change nothing that a hook waits for.
"""

from typing import TYPE_CHECKING

import pulumi

from one_consumer.live.access import AwsAccess
from one_consumer.live.observation import Identity
from stack.settings import HandoverSettings

if TYPE_CHECKING:
    from one_consumer.live.drain import Patience


def drained_hook(
    queue_name: str, access: AwsAccess, settings: HandoverSettings, *, winner: Identity | None
) -> pulumi.ResourceHook:
    """Before a queue's lock changes: wait until everybody else is off. For ``before_create`` and ``before_update``.

    Args:
        queue_name: the queue's physical name.
        access: how AWS is reached.
        settings: how long to wait.
        winner: who may receive next, by its physical name; None when nobody may.
    """

    async def wait(args: pulumi.ResourceHookArgs) -> None:
        from one_consumer.live.drain import wait_until_drained
        from one_consumer.live.observer import ConsumerObserver

        del args
        await wait_until_drained(
            ConsumerObserver(access.client, emulated=access.endpoint is not None),
            access.queue_url(queue_name),
            winner=winner,
            patience=_patience(settings),
        )

    return pulumi.ResourceHook(f"{queue_name}-is-drained", wait)


def emptied_hook(
    queue_name: str, destination_name: str, access: AwsAccess, settings: HandoverSettings
) -> pulumi.ResourceHook:
    """Before a queue is deleted: move what it holds to ``destination_name``. For ``before_delete``."""

    async def move(args: pulumi.ResourceHookArgs) -> None:
        from one_consumer.live.drain import move_and_wait_until_empty

        del args
        moved = await move_and_wait_until_empty(
            access.client("sqs"),
            access.queue_url(queue_name),
            access.queue_url(destination_name),
            patience=_patience(settings),
        )
        if moved:
            pulumi.log.info(f"{moved} messages of {queue_name} were moved to {destination_name}")

    return pulumi.ResourceHook(f"{queue_name}-is-emptied", move)


def _patience(settings: HandoverSettings) -> "Patience":
    from one_consumer.live.drain import Patience

    return Patience(
        timeout_seconds=settings.timeout_seconds,
        poll_seconds=settings.poll_seconds,
        quiet_seconds=settings.quiet_seconds,
    )
