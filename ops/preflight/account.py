"""What the account answers about itself: the one place of the preflight that asks AWS. It judges nothing.

A question that is not answered is no error here: its answer is ``Unread``, with the reason.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from ops.preflight.needs import Needs
from ops.preflight.rights import by_resource, deployer_rights
from pipeline.aws import AwsClient

SERVICE_ROLES: Mapping[str, str] = {
    "ecs.amazonaws.com": "AWSServiceRoleForECS",
    "ecs.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_ECSService",
    "elasticfilesystem.amazonaws.com": "AWSServiceRoleForAmazonElasticFileSystem",
}
"""Service to the role that it must have in the account; each is made at first use by who may (Amazon ECS developer
guide, using-service-linked-roles; Application Auto Scaling user guide and Amazon EFS user guide, the same)."""
QUOTAS: Mapping[str, tuple[str, str]] = {
    "Fargate vCPUs": ("fargate", "L-3032A538"),
    "Fargate Spot vCPUs": ("fargate", "L-36FBB829"),
    "VPCs": ("vpc", "L-F678F1CE"),
    "internet gateways": ("vpc", "L-A4707A72"),
}
"""Name to service and code in Service Quotas."""
ACTIONS_AT_ONCE = 50

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A question that the account did not answer."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The caller; ``policy_source`` is the principal whose rights are simulated, None for the account's root."""

    account: str
    arn: str
    policy_source: str | None


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """Of Lambda: invocations at a time in the region, and how many of them no function has reserved."""

    limit: int
    unreserved: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """The answers.

    Attributes:
        zones: those that are open to the account.
        service_roles: service to whether its role exists.
        denied: actions that the caller may not do.
        quotas: name to limit.
        vpcs: how many there are.
        own_vpc: whether one of them is the stack's already.
    """

    caller: Caller | Unread
    zones: frozenset[str] | Unread
    concurrency: Concurrency | Unread
    service_roles: Mapping[str, bool] | Unread
    denied: tuple[str, ...] | Unread
    quotas: Mapping[str, float | Unread]
    vpcs: int | Unread
    own_vpc: bool


def read_account(client: Callable[[str], AwsClient], needed: Needs) -> Account:
    """Ask.

    Args:
        client: a boto3 client of a service by name, in the stack's account and region.
        needed: names whose rights are simulated.
    """
    caller = _answer(lambda: _caller(client))
    vpcs = _answer(lambda: _vpcs(client("ec2"), needed.stack))
    return Account(
        caller=caller,
        zones=_answer(lambda: _zones(client("ec2"))),
        concurrency=_answer(lambda: _concurrency(client("lambda"))),
        service_roles=_answer(
            lambda: {service: _has_role(client("iam"), role) for service, role in SERVICE_ROLES.items()}
        ),
        denied=caller if isinstance(caller, Unread) else _answer(lambda: _denied(client("iam"), caller, needed)),
        quotas={
            name: _answer(lambda service=service, code=code: _quota(client("service-quotas"), service, code))
            for name, (service, code) in QUOTAS.items()
        },
        vpcs=vpcs if isinstance(vpcs, Unread) else vpcs[0],
        own_vpc=not isinstance(vpcs, Unread) and vpcs[1],
    )


def _answer(ask: Callable[[], Answer]) -> Answer | Unread:
    try:
        return ask()
    except (ClientError, BotoCoreError) as error:
        return Unread(reason=str(error))


def _caller(client: Callable[[str], AwsClient]) -> Caller:
    answer = client("sts").get_caller_identity()
    arn, account = answer["Arn"], answer["Account"]
    source: str | None = arn
    if ":assumed-role/" in arn:
        # A session's ARN leaves out the role's path, so the role is asked for its own.
        source = client("iam").get_role(RoleName=arn.split("/")[1])["Role"]["Arn"]
    elif arn.endswith(":root"):
        source = None
    return Caller(account=account, arn=arn, policy_source=source)


def _zones(ec2: AwsClient) -> frozenset[str]:
    answer = ec2.describe_availability_zones()["AvailabilityZones"]
    return frozenset(zone["ZoneName"] for zone in answer if zone.get("State") == "available")


def _vpcs(ec2: AwsClient, stack: str) -> tuple[int, bool]:
    found = [vpc for page in ec2.get_paginator("describe_vpcs").paginate() for vpc in page["Vpcs"]]
    own = {"Key": "Stack", "Value": stack}
    return len(found), any(own in vpc.get("Tags", []) for vpc in found)


def _concurrency(functions: AwsClient) -> Concurrency:
    limit = functions.get_account_settings()["AccountLimit"]
    return Concurrency(limit=limit["ConcurrentExecutions"], unreserved=limit["UnreservedConcurrentExecutions"])


def _has_role(iam: AwsClient, name: str) -> bool:
    try:
        iam.get_role(RoleName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return False
    return True


def _denied(iam: AwsClient, caller: Caller, needed: Needs) -> tuple[str, ...]:
    """Of the deployer's rights those that the caller does not have, each asked about a resource of the stack's."""
    if caller.policy_source is None:
        return ()
    denied: list[str] = []
    groups = by_resource(deployer_rights(), name=needed.name, region=needed.region, account=caller.account)
    for resource, actions in groups:
        for start in range(0, len(actions), ACTIONS_AT_ONCE):
            answer = iam.simulate_principal_policy(
                PolicySourceArn=caller.policy_source,
                ActionNames=actions[start : start + ACTIONS_AT_ONCE],
                ResourceArns=[resource if resource == "*" else resource.replace("*", "preflight")],
            )
            denied += _not_allowed(answer["EvaluationResults"])
    return tuple(dict.fromkeys(denied))


def _not_allowed(results: Sequence[Mapping[str, str]]) -> list[str]:
    return [result["EvalActionName"] for result in results if result["EvalDecision"] != "allowed"]


def _quota(quotas: AwsClient, service: str, code: str) -> float:
    try:
        answer = quotas.get_service_quota(ServiceCode=service, QuotaCode=code)
    except ClientError as error:
        # An account that never asked for more has the default, which is another question.
        if error.response["Error"]["Code"] != "NoSuchResourceException":
            raise
        answer = quotas.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)
    return float(answer["Quota"]["Value"])
