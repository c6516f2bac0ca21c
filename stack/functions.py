"""A function from the one image, with its log group, its role and an environment built from its own model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from pipeline.environment import Environment
from stack import aws
from stack.errors import RefusalCode, StackRefusal
from stack.limits import EVENT_AGE_MINIMUM
from stack.naming import physical_name, tags
from stack.network import Place
from stack.permissions import Statement, attach_policy, create_role, statement


def environment_variables(model: type[Environment], values: Mapping[str, Any]) -> dict[str, pulumi.Input[str]]:
    """The variables that ``model`` reads, from its fields' values; None leaves an optional one out.

    Raises:
        StackRefusal: ENVIRONMENT_MISMATCH, naming the fields that are missing or unknown.
    """
    given = {field: value for field, value in values.items() if value is not None}
    required = {field for field, info in model.model_fields.items() if info.is_required()}
    missing, unknown = required - given.keys(), given.keys() - model.model_fields.keys()
    if missing or unknown:
        raise StackRefusal(
            RefusalCode.ENVIRONMENT_MISMATCH,
            value=f"missing: {sorted(missing)}, unknown: {sorted(unknown)}",
            rule=f"the environment is exactly the fields of {model.__name__}",
            way_out="change the component and the model together",
        )
    names = model.variable_names()
    return {names[field]: _variable(value) for field, value in given.items()}


def _variable(value: Any) -> pulumi.Input[str]:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str | pulumi.Output) else str(value)


@dataclass(frozen=True, kw_only=True)
class CollectionsMount:
    """Where and how a function in the VPC sees EFS.

    Attributes:
        join: gives the function its place in the network, after what must outlive its network interfaces.
    """

    access_point_arn: pulumi.Input[str]
    path: str
    subnet_ids: Sequence[pulumi.Input[str]]
    join: Callable[[Sequence[pulumi.Resource]], Place]
    mount_targets: Sequence[pulumi.Resource]


@dataclass(frozen=True, kw_only=True)
class ImageFunctionArgs:
    """A function.

    Attributes:
        handler: dotted name in the image, ``module.function``.
        variables: from ``environment_variables``.
        statements: what its role may do beside logging.
        memory_mb: megabytes.
        timeout_seconds: 1 to 900.
        ephemeral_storage_mb: size of ``/tmp``.
        mount: puts the function into the VPC; None keeps it out.
    """

    image_uri: pulumi.Input[str]
    handler: str
    variables: Mapping[str, pulumi.Input[str]]
    statements: Sequence[Statement]
    memory_mb: int
    timeout_seconds: int
    log_retention_days: int
    ephemeral_storage_mb: int = 512
    mount: CollectionsMount | None = None


class ImageFunction(pulumi.ComponentResource):
    """A function of the image; ``consume_with`` of a queue gives it something to do."""

    function: aws.lambda_.Function
    role: aws.iam.Role

    def __init__(self, name: str, args: ImageFunctionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stack:ImageFunction", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        physical = physical_name(name)
        logs = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/lambda/{physical}",
            retention_in_days=args.log_retention_days,
            tags=tags(),
            opts=child,
        )
        statements = [
            statement(
                "WriteOwnLogs",
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                [pulumi.Output.concat(logs.arn, ":*")],
            ),
            *args.statements,
        ]
        self.role, policy = create_role(name, service="lambda.amazonaws.com", statements=statements, parent=self)
        placement: dict[str, Any] = {}
        dependencies: list[pulumi.Resource] = [logs, policy]
        if args.mount is not None:
            interfaces = attach_policy(f"{name}-interfaces", self.role, _manage_interfaces(physical), parent=self)
            place = args.mount.join([self.role, interfaces])
            placement = {
                "vpc_config": aws.lambda_.FunctionVpcConfigArgs(
                    subnet_ids=list(args.mount.subnet_ids), security_group_ids=[place.group.id]
                ),
                "file_system_config": aws.lambda_.FunctionFileSystemConfigArgs(
                    arn=args.mount.access_point_arn, local_mount_path=args.mount.path
                ),
            }
            dependencies += [*args.mount.mount_targets, *place.ready]
        self.function = aws.lambda_.Function(
            f"{name}-function",
            name=physical,
            package_type="Image",
            image_uri=args.image_uri,
            image_config=aws.lambda_.FunctionImageConfigArgs(commands=[args.handler]),
            architectures=["x86_64"],
            role=self.role.arn,
            memory_size=args.memory_mb,
            timeout=args.timeout_seconds,
            ephemeral_storage=aws.lambda_.FunctionEphemeralStorageArgs(size=args.ephemeral_storage_mb),
            environment=aws.lambda_.FunctionEnvironmentArgs(variables=dict(args.variables)),
            logging_config=aws.lambda_.FunctionLoggingConfigArgs(log_format="JSON", log_group=logs.name),
            tags=tags(),
            opts=pulumi.ResourceOptions(parent=self, depends_on=dependencies),
            **placement,
        )
        self.register_outputs({"function": self.function, "role": self.role})


def call_each(
    name: str,
    function: aws.lambda_.Function,
    *,
    minutes: int,
    event: pulumi.Input[str],
    parent: pulumi.Resource,
    enabled: bool = True,
    after: Sequence[pulumi.Resource] = (),
) -> aws.scheduler.Schedule:
    """Call a function every so many minutes; a call that fails is not made again, the next one is soon enough.

    Args:
        name: of what is made.
        function: the function.
        minutes: between two calls; 1 at least.
        event: JSON, what it is called with.
        parent: the component of the schedule and its role.
        enabled: false keeps the schedule and makes no call.
        after: what must be so before the first call.
    """
    # The scheduler hands a call to Lambda's queue of asynchronous invocations and is done: what Lambda tries again, and
    # how long a call may wait for it, is said here.
    aws.lambda_.FunctionEventInvokeConfig(
        f"{name}-tries",
        function_name=function.name,
        maximum_retry_attempts=0,
        maximum_event_age_in_seconds=max(EVENT_AGE_MINIMUM, minutes * 60),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    role, policy = create_role(
        f"{name}-schedule",
        service="scheduler.amazonaws.com",
        statements=[statement("CallTheFunction", ["lambda:InvokeFunction"], [function.arn])],
        parent=parent,
    )
    return aws.scheduler.Schedule(
        f"{name}-schedule",
        name=physical_name(name),
        schedule_expression=f"rate({minutes} minute{'s' if minutes > 1 else ''})",
        flexible_time_window=aws.scheduler.ScheduleFlexibleTimeWindowArgs(mode="OFF"),
        state="ENABLED" if enabled else "DISABLED",
        target=aws.scheduler.ScheduleTargetArgs(
            arn=function.arn,
            role_arn=role.arn,
            input=event,
            # Of handing it over.
            retry_policy=aws.scheduler.ScheduleTargetRetryPolicyArgs(maximum_retry_attempts=0),
        ),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[policy, *after]),
    )


def _manage_interfaces(function: str) -> list[Statement]:
    """Lambda's rights to a function's network interfaces, which the function's own code cannot use.

    Both statements are those of the AWS Lambda developer guide, configuration-vpc: AWS offers no resource level for
    most of these actions, and only the code's own calls carry the function's ARN.
    """
    actions = [
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    ]
    return [
        statement("ManageNetworkInterfaces", actions, ["*"]),
        {
            **statement("NotByTheFunctionsOwnCode", actions, ["*"]),
            "Effect": "Deny",
            "Condition": {"ArnLike": {"lambda:SourceFunctionArn": f"arn:*:lambda:*:*:function:{function}"}},
        },
    ]
