"""The hook before a queue of ``hybrid`` is deleted: what it holds is moved first. The other: ``one_consumer.claim``.

It imports AWS's clients when it runs: most updates delete no queue.
"""

import pulumi

from one_consumer.live.access import AwsAccess
from stack.settings import HandoverSettings


def emptied_hook(
    queue_name: str, destination_name: str, access: AwsAccess, settings: HandoverSettings
) -> pulumi.ResourceHook:
    """Before a queue is deleted: move what it holds to ``destination_name``. For ``before_delete``."""

    async def move(args: pulumi.ResourceHookArgs) -> None:
        from one_consumer.live.drain import Patience, move_and_wait_until_empty

        del args
        moved = await move_and_wait_until_empty(
            access.client("sqs"),
            access.queue_url(queue_name),
            access.queue_url(destination_name),
            patience=Patience(
                timeout_seconds=settings.timeout_seconds,
                poll_seconds=settings.poll_seconds,
                quiet_seconds=settings.quiet_seconds,
            ),
        )
        if moved:
            pulumi.log.info(f"{moved} messages of {queue_name} were moved to {destination_name}")

    return pulumi.ResourceHook(f"{queue_name}-is-emptied", move)
