"""The hooks of this stack's updates: around a service that scaling may change, and before a queue of ``hybrid`` goes.

The one that a lock waits for is in ``one_consumer.claim``. They import AWS's clients when they run: most updates have
nothing for them to do.
"""

import asyncio

import pulumi

from one_consumer.live.access import AwsAccess
from stack.settings import HandoverSettings

SCALING_SERVICE = "application-autoscaling"


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
