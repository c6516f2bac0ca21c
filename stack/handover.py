"""The hooks that make a switch break before make: they run inside the update, and only when something changes hands.

What they wait for is decided and looked up in ``one_consumer/live``; this module tells them which queue and how long.
They import AWS's clients when they run: most updates change nothing that a hook waits for.
"""

import asyncio
from typing import TYPE_CHECKING

import pulumi

from one_consumer.live.access import AwsAccess
from one_consumer.live.observation import Identity
from stack.settings import HandoverSettings

if TYPE_CHECKING:
    from one_consumer.live.drain import Patience

SCALING_SERVICE = "application-autoscaling"


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


def scaling_hooks(service_name: str, access: AwsAccess, *, on: bool) -> pulumi.ResourceHookBinding:
    """Around an update of a service that scaling may change: it is not changed while it is turned off.

    The scaling's target is made after its service, so it is updated after it too, and would act on it until then.

    Args:
        service_name: the physical name of the service and of its cluster.
        access: how AWS is reached.
        on: whether the service is to run.
    """

    async def suspend(args: pulumi.ResourceHookArgs) -> None:
        from one_consumer.live.scaling import suspend_scaling

        del args
        if access.endpoint is None:  # An emulator has no scaling.
            await asyncio.to_thread(suspend_scaling, access.client(SCALING_SERVICE), service_name)

    async def resume(args: pulumi.ResourceHookArgs) -> None:
        from one_consumer.live.scaling import resume_scaling

        del args
        if access.endpoint is None:
            await asyncio.to_thread(resume_scaling, access.client(SCALING_SERVICE), service_name)

    # A hook is known by its name, so what it does must not depend on anything but the name.
    if on:
        return pulumi.ResourceHookBinding(
            after_update=[pulumi.ResourceHook(f"{service_name}-scaling-is-resumed", resume)]
        )
    return pulumi.ResourceHookBinding(
        before_update=[pulumi.ResourceHook(f"{service_name}-scaling-is-suspended", suspend)]
    )


def _patience(settings: HandoverSettings) -> "Patience":
    from one_consumer.live.drain import Patience

    return Patience(
        timeout_seconds=settings.timeout_seconds,
        poll_seconds=settings.poll_seconds,
        quiet_seconds=settings.quiet_seconds,
    )
