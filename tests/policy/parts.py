"""What the small programs are made of: as little of each resource as the pack looks at."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/any@sha256:" + "c" * 64
TRUST = '{"Version": "2012-10-17", "Statement": []}'
SEND, RECEIVE = "sqs:SendMessage", "sqs:ReceiveMessage"


def function(name: str, **rest: Any) -> aws.lambda_.Function:
    return aws.lambda_.Function(
        name, role="arn:aws:iam::000000000000:role/any", package_type="Image", image_uri=IMAGE, timeout=5, **rest
    )


def mapping(name: str, source: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None, **rest: Any) -> None:
    rest.setdefault("function_response_types", ["ReportBatchItemFailures"])
    rest.setdefault("function_name", function(f"{name}-function").arn)
    aws.lambda_.EventSourceMapping(name, event_source_arn=source, opts=opts, **rest)


def allow(action: str | list[str], resource: Any, effect: str = "Allow", **rest: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **rest}


def document(*statements: Mapping[str, Any]) -> pulumi.Output[str]:
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": list(statements)})


def role(name: str, *statements: Mapping[str, Any], **rest: Any) -> aws.iam.Role:
    made = aws.iam.Role(name, assume_role_policy=TRUST, **rest)
    if statements:
        aws.iam.RolePolicy(f"{name}-policy", role=made.id, policy=document(*statements))
    return made


def service(
    name: str,
    /,
    variables: Mapping[str, pulumi.Input[str]] | None = None,
    *,
    task_role: pulumi.Input[str] | None = None,
    command: Sequence[pulumi.Input[str]] | None = None,
    cluster: pulumi.Input[str] | None = "main",
    opts: pulumi.ResourceOptions | None = None,
    **rest: Any,
) -> aws.ecs.Service:
    made = task(name, variables, task_role=task_role, command=command)
    return aws.ecs.Service(name, cluster=cluster, task_definition=made.arn, opts=opts, **rest)


def task(
    name: str,
    variables: Mapping[str, pulumi.Input[str]] | None = None,
    *,
    task_role: pulumi.Input[str] | None = None,
    command: Sequence[pulumi.Input[str]] | None = None,
) -> aws.ecs.TaskDefinition:
    container = {
        "name": "main",
        "image": IMAGE,
        "command": command or [],
        "environment": [{"name": key, "value": value} for key, value in (variables or {}).items()],
    }
    return aws.ecs.TaskDefinition(
        f"{name}-task",
        family=name,
        task_role_arn=task_role,
        container_definitions=pulumi.Output.json_dumps([container]),
    )


def scaling(
    name: str, target: aws.ecs.Service, minimum: int, maximum: int, *, resource: pulumi.Input[str] | None = None
) -> aws.appautoscaling.Target:
    return aws.appautoscaling.Target(
        name,
        service_namespace="ecs",
        scalable_dimension="ecs:service:DesiredCount",
        resource_id=resource or pulumi.Output.concat("service/main/", target.name),
        min_capacity=minimum,
        max_capacity=maximum,
    )


def scheduled(name: str, target: aws.appautoscaling.Target, **capacity: int) -> None:
    aws.appautoscaling.ScheduledAction(
        name,
        service_namespace=target.service_namespace,
        scalable_dimension=target.scalable_dimension,
        resource_id=target.resource_id,
        schedule="cron(0 6 * * ? *)",
        scalable_target_action=aws.appautoscaling.ScheduledActionScalableTargetActionArgs(**capacity),
    )


def task_set(name: str, of: pulumi.Input[str], definition: aws.ecs.TaskDefinition, percent: float) -> None:
    aws.ecs.TaskSet(
        name, service=of, cluster="main", task_definition=definition.arn, scale={"unit": "PERCENT", "value": percent}
    )
