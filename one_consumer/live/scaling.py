"""Suspends a service's scaling before it is turned off, and lets it work again; called inside an update, by a hook.

The rest of a scalable target is Pulumi's: this module changes its suspension and nothing else.
"""

from one_consumer.live.clients import AwsClient

NAMESPACE, DIMENSION = "ecs", "ecs:service:DesiredCount"
KINDS = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


def suspend_scaling(client: AwsClient, name: str) -> bool:
    """Let nothing scale a service.

    Args:
        client: a boto3 client of Application Auto Scaling.
        name: of the service and of its cluster.

    Returns:
        Whether there was anything to suspend; a service that was never scaled has no target.

    Raises:
        ClientError: whatever AWS answers; the update stops before the service is changed.
    """
    target = _target(client, name)
    if target is None or all(target.get("SuspendedState", {}).get(kind) for kind in KINDS):
        return False
    _register(client, name, suspended=True)
    return True


def resume_scaling(client: AwsClient, name: str) -> bool:
    """Let a service be scaled again that an update which failed half way left suspended.

    A target from 0 to 0 is left as it is: that is a worker that was off, whose target is updated next. To register it
    now would move the new desired count into that range.

    Args:
        client: a boto3 client of Application Auto Scaling.
        name: of the service and of its cluster.

    Returns:
        Whether it was suspended.

    Raises:
        ClientError: whatever AWS answers.
    """
    target = _target(client, name)
    if target is None or not target["MaxCapacity"] or not any(target.get("SuspendedState", {}).values()):
        return False
    _register(client, name, suspended=False)
    return True


def _target(client: AwsClient, name: str) -> dict | None:
    found = client.describe_scalable_targets(
        ServiceNamespace=NAMESPACE, ResourceIds=[_resource(name)], ScalableDimension=DIMENSION
    )["ScalableTargets"]
    return found[0] if found else None


def _register(client: AwsClient, name: str, *, suspended: bool) -> None:
    client.register_scalable_target(
        ServiceNamespace=NAMESPACE,
        ResourceId=_resource(name),
        ScalableDimension=DIMENSION,
        SuspendedState=dict.fromkeys(KINDS, suspended),
    )


def _resource(name: str) -> str:
    return f"service/{name}/{name}"
