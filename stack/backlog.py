"""Scaling of a service by its queue's backlog: target, policies, alarms. What a backlog is worth is in ``scaling.py``.

While the service is off nothing here does anything: its alarms have no action, its target is suspended and from 0 to 0.
Why the metric is the stack's own, and not one of SQS: docs/adr/0008-waking-from-zero.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from stack import aws
from stack.naming import physical_name, tags
from stack.scaling import scaling_steps

PERIOD_SECONDS = 60
COOLDOWN_SECONDS = 60
IDLE_MINUTES = 10
"""Minutes without a message before the last task goes; a task's start is worth about as much."""
MESSAGES_PER_TASK = 200
"""Messages, visible or in flight, for which one more task is worth its start."""


@dataclass(frozen=True, kw_only=True)
class BacklogMetric:
    """How many messages wait, once a minute; no datapoint means that nobody has counted."""

    namespace: str
    name: str
    queue_name: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class BacklogScalingArgs:
    """What is scaled by what.

    Attributes:
        maximum_tasks: of the steps, whether the service is on or not.
        on: false lets nothing scale the service.
        after: what must be so before the service may be scaled.
    """

    cluster: aws.ecs.Cluster
    service: aws.ecs.Service
    metric: BacklogMetric
    maximum_tasks: int
    on: bool
    after: Sequence[pulumi.Resource]


def scale_by_backlog(name: str, args: BacklogScalingArgs, *, parent: pulumi.Resource) -> aws.appautoscaling.Target:
    """One task for the first message, more for every MESSAGES_PER_TASK, none when nothing is left.

    Args:
        name: of the service; what is made is called after it.
        args: what is scaled by what.
        parent: the component of all of it.

    Returns:
        The target, which turns scaling off.
    """
    target = aws.appautoscaling.Target(
        f"{name}-scaling",
        service_namespace="ecs",
        scalable_dimension="ecs:service:DesiredCount",
        resource_id=pulumi.Output.concat("service/", args.cluster.name, "/", args.service.name),
        min_capacity=0,
        max_capacity=args.maximum_tasks if args.on else 0,
        suspended_state=aws.appautoscaling.TargetSuspendedStateArgs(
            dynamic_scaling_in_suspended=not args.on,
            dynamic_scaling_out_suspended=not args.on,
            scheduled_scaling_suspended=not args.on,
        ),
        tags=tags(),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(args.after)),
    )
    steps = [
        aws.appautoscaling.PolicyStepScalingPolicyConfigurationStepAdjustmentArgs(
            scaling_adjustment=step.tasks,
            metric_interval_lower_bound=str(step.above),
            metric_interval_upper_bound=None if step.below is None else str(step.below),
        )
        for step in scaling_steps(args.maximum_tasks, MESSAGES_PER_TASK)
    ]
    idle = [
        aws.appautoscaling.PolicyStepScalingPolicyConfigurationStepAdjustmentArgs(
            scaling_adjustment=0, metric_interval_upper_bound="0"
        )
    ]
    plans: list[tuple[str, list[Any], str, int, int]] = [
        ("busy", steps, "GreaterThanOrEqualToThreshold", 1, 1),
        ("idle", idle, "LessThanOrEqualToThreshold", 0, IDLE_MINUTES),
    ]
    for part, adjustments, comparison, threshold, minutes in plans:
        policy = aws.appautoscaling.Policy(
            f"{name}-{part}",
            name=physical_name(f"{name}-{part}"),
            policy_type="StepScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            step_scaling_policy_configuration=aws.appautoscaling.PolicyStepScalingPolicyConfigurationArgs(
                adjustment_type="ExactCapacity",
                cooldown=COOLDOWN_SECONDS,
                metric_aggregation_type="Maximum",
                step_adjustments=adjustments,
            ),
            opts=pulumi.ResourceOptions(parent=parent),
        )
        aws.cloudwatch.MetricAlarm(
            f"{name}-{part}-alarm",
            name=physical_name(f"{name}-{part}"),
            namespace=args.metric.namespace,
            metric_name=args.metric.name,
            dimensions={"QueueName": args.metric.queue_name},
            statistic="Maximum",
            period=PERIOD_SECONDS,
            comparison_operator=comparison,
            threshold=threshold,
            evaluation_periods=minutes,
            # Who has not counted knows neither that something waits nor that nothing does. A worker that was off has
            # no datapoints, so it is as many minutes from idle as any other.
            treat_missing_data="notBreaching",
            # CloudWatch calls a scaling action again every minute that its alarm stays in ALARM.
            actions_enabled=args.on,
            alarm_actions=[policy.arn],
            tags=tags(),
            # Its actions are on only after the target, and what the target comes after.
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[target]),
        )
    return target
