"""What the account's answers mean for an update: refused, short or open. A pure decision; nothing is asked here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ops.preflight.account import Account, Unread
from ops.preflight.needs import Needs
from stack.limits import NEW_ACCOUNT_FUNCTION_MEMORY

SHOWN_ACTIONS = 12
NEW_ACCOUNT_CONCURRENCY = 10
"""What Lambda may give a new account (AWS Lambda developer guide, gettingstarted-limits)."""


class Obstacle(StrEnum):
    """Stable names of what a preflight can find."""

    ACCOUNT_UNREADABLE = "ACCOUNT_UNREADABLE"
    RIGHT_MISSING = "RIGHT_MISSING"
    ZONE_CLOSED = "ZONE_CLOSED"
    SERVICE_ROLE_MISSING = "SERVICE_ROLE_MISSING"
    FUNCTION_MEMORY_ABOVE_NEW = "FUNCTION_MEMORY_ABOVE_NEW"
    CONCURRENCY_SHORT = "CONCURRENCY_SHORT"
    QUOTA_REACHED = "QUOTA_REACHED"
    QUESTION_OPEN = "QUESTION_OPEN"


MEANINGS: Mapping[Obstacle, str] = {
    Obstacle.ACCOUNT_UNREADABLE: "AWS does not say who the caller is: no credentials, expired ones, or no way to AWS.",
    Obstacle.RIGHT_MISSING: "The caller lacks a right that an update or a switch needs, by IAM's own simulation.",
    Obstacle.ZONE_CLOSED: "A zone of the settings is not open to the account.",
    Obstacle.SERVICE_ROLE_MISSING: "A service has no role in the account yet, and the caller may not make it; or ECS "
    "would make it during the first update, which may be too late for its first service.",
    Obstacle.FUNCTION_MEMORY_ABOVE_NEW: "A function is larger than what a new account may have, and no quota says "
    "whether this one may.",
    Obstacle.CONCURRENCY_SHORT: "Lambda gives the account fewer invocations at a time than the stack's functions may "
    "use: throttled deliveries count as receives, and healthy messages become dead letters.",
    Obstacle.QUOTA_REACHED: "A quota is reached, or would be at the settings' most.",
    Obstacle.QUESTION_OPEN: "The account did not answer a question, mostly for want of a right.",
}
"""One sentence each; ``docs/refusals.md`` is made of it."""


class Weight(StrEnum):
    """How bad it is: the update would be refused, the stack would work badly, or the account did not answer."""

    REFUSED = "refused"
    SHORT = "short"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class Remark:
    """One finding: which, how bad, the value met, the rule, the way out."""

    code: Obstacle
    weight: Weight
    value: str
    rule: str
    way_out: str


def judge(needed: Needs, account: Account) -> list[Remark]:
    """Everything that is in the way of an update.

    Args:
        needed: by the stack's settings.
        account: as it answered.
    """
    if isinstance(account.caller, Unread):
        return [
            Remark(
                code=Obstacle.ACCOUNT_UNREADABLE,
                weight=Weight.REFUSED,
                value=account.caller.reason,
                rule="credentials of the account that the stack is in",
                way_out="log in, for example with `aws sso login`, or set aws:profile of the stack; then ask again",
            )
        ]
    return [
        *_rights(account),
        *_zones(needed, account),
        *_service_roles(account),
        *_memory(needed),
        *_concurrency(needed, account),
        *_quotas(needed, account),
    ]


def _rights(account: Account) -> Iterator[Remark]:
    if isinstance(account.denied, Unread):
        yield _open("the caller's rights", account.denied, "iam:SimulatePrincipalPolicy of its own user or role")
    elif account.denied:
        shown = ", ".join(account.denied[:SHOWN_ACTIONS])
        more = len(account.denied) - SHOWN_ACTIONS
        yield Remark(
            code=Obstacle.RIGHT_MISSING,
            weight=Weight.REFUSED,
            value=shown + (f" and {more} more" if more > 0 else ""),
            rule="who deploys may do what the policy of `receipts preflight --policy deployer` lists",
            way_out="give the caller that policy, or deploy as somebody who has it",
        )


def _zones(needed: Needs, account: Account) -> Iterator[Remark]:
    if isinstance(account.zones, Unread):
        yield _open("the zones", account.zones, "ec2:DescribeAvailabilityZones")
    elif closed := [zone for zone in needed.zones if zone not in account.zones]:
        yield Remark(
            code=Obstacle.ZONE_CLOSED,
            weight=Weight.REFUSED,
            value=f"{', '.join(closed)}; open are {', '.join(sorted(account.zones)) or 'none'}",
            rule="each zone of receipts:network.zones is open to the account",
            way_out="set receipts:network.zones to open ones, or enable the region for the account",
        )


def _service_roles(account: Account) -> Iterator[Remark]:
    if isinstance(account.service_roles, Unread):
        yield _open("the services' roles", account.service_roles, "iam:GetRole")
        return
    denied = () if isinstance(account.denied, Unread) else account.denied
    may_make = "iam:CreateServiceLinkedRole" not in denied
    for service, exists in account.service_roles.items():
        if not exists:
            yield Remark(
                code=Obstacle.SERVICE_ROLE_MISSING,
                weight=Weight.SHORT if may_make else Weight.REFUSED,
                value=service,
                rule="the service has its role in the account before it is used for the first time",
                way_out=f"aws iam create-service-linked-role --aws-service-name {service}",
            )


def _memory(needed: Needs) -> Iterator[Remark]:
    for setting, memory in needed.memory_mb.items():
        if memory > NEW_ACCOUNT_FUNCTION_MEMORY:
            yield Remark(
                code=Obstacle.FUNCTION_MEMORY_ABOVE_NEW,
                weight=Weight.OPEN,
                value=f"{setting} = {memory}",
                rule=f"a new account's functions have at most {NEW_ACCOUNT_FUNCTION_MEMORY} MB; AWS raises it with use "
                "or when asked, and no quota shows it",
                way_out=f"set it to {NEW_ACCOUNT_FUNCTION_MEMORY}, or find out by docs/deploy.md",
            )


def _concurrency(needed: Needs, account: Account) -> Iterator[Remark]:
    found = account.concurrency
    if isinstance(found, Unread):
        yield _open("Lambda's concurrency", found, "lambda:GetAccountSettings")
    elif found.unreserved < needed.concurrency:
        yield Remark(
            code=Obstacle.CONCURRENCY_SHORT,
            weight=Weight.SHORT,
            value=f"{found.unreserved} of {found.limit} invocations at a time are unreserved, the stack's functions "
            f"may use {needed.concurrency}",
            rule="a throttled delivery counts as a receive, so all mappings together stay below the account's limit",
            way_out="lower receipts:upload.maximumConcurrency and receipts:lambda.maximumConcurrency (2 at least), or "
            "ask Service Quotas for more (Lambda, concurrent executions)"
            + ("; a new account may have 10" if found.limit <= NEW_ACCOUNT_CONCURRENCY else ""),
        )


def _quotas(needed: Needs, account: Account) -> Iterator[Remark]:
    for name, quota in account.quotas.items():
        if isinstance(quota, Unread):
            yield _open(f"the quota of {name}", quota, "servicequotas:GetServiceQuota")
    tasks = account.quotas.get("Fargate Spot vCPUs" if needed.spot else "Fargate vCPUs")
    if isinstance(tasks, float) and tasks < needed.virtual_cpus:
        yield Remark(
            code=Obstacle.QUOTA_REACHED,
            weight=Weight.SHORT,
            value=f"{needed.virtual_cpus:g} vCPUs at receipts:ecs.maximumTasks, the quota is {tasks:g}",
            rule="Fargate starts no task beyond the account's vCPUs",
            way_out="lower receipts:ecs.maximumTasks or cpu, or ask Service Quotas for more (AWS Fargate, vCPUs)",
        )
    if isinstance(account.vpcs, Unread):
        yield _open("the networks there are", account.vpcs, "ec2:DescribeVpcs")
        return
    # Every network here has one gateway, and most of others have one as well: the two quotas move together.
    for name in ("VPCs", "internet gateways"):
        quota = account.quotas.get(name)
        if isinstance(quota, float) and account.vpcs >= quota and not account.own_vpc:
            yield Remark(
                code=Obstacle.QUOTA_REACHED,
                weight=Weight.REFUSED if name == "VPCs" else Weight.OPEN,
                value=f"{account.vpcs} VPCs, the quota of {name} is {quota:g}",
                rule="the stack has a network of its own",
                way_out="delete an unused VPC, or ask Service Quotas for more (Amazon VPC)",
            )


def _open(question: str, unread: Unread, right: str) -> Remark:
    return Remark(
        code=Obstacle.QUESTION_OPEN,
        weight=Weight.OPEN,
        value=f"{question}: {unread.reason}",
        rule="what is not known may still be refused by the update",
        way_out=f"ask as somebody who has the right ({right})",
    )
