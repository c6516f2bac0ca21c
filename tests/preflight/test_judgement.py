"""What the account's answers mean: a preflight that is silent costs an update that stops half way."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from ops.preflight.account import SERVICE_ROLES, Account, Caller, Concurrency, Unread
from ops.preflight.judgement import MEANINGS, Obstacle, Weight, judge
from ops.preflight.needs import Needs, needs
from stack.limits import NEW_ACCOUNT_FUNCTION_MEMORY
from stack.loading import load
from tests.program.engine import ACCOUNT, PROJECT

CALLER = Caller(account=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/me", policy_source=f"arn:aws:iam::{ACCOUNT}:user/me")
UNREAD = Unread(reason="AccessDenied")
NEW = Account(
    caller=CALLER,
    zones=frozenset({"us-east-1a", "us-east-1b", "us-east-1c"}),
    concurrency=Concurrency(limit=10, unreserved=10),
    service_roles=dict.fromkeys(SERVICE_ROLES, True),
    denied=(),
    quotas={"Fargate vCPUs": 6.0, "Fargate Spot vCPUs": 6.0, "VPCs": 5.0, "internet gateways": 5.0},
    vpcs=1,
    own_vpc=False,
)
"""A new account: 10 invocations at a time, few of everything, one default network."""


def dev() -> Needs:
    config = yaml.safe_load((PROJECT / "Pulumi.dev.yaml").read_text())["config"]
    settings = {key.removeprefix("receipts:"): value for key, value in config.items() if key.startswith("receipts:")}
    return needs(load(settings), project="receipts", stack="dev")


def codes(needed: Needs, account: Account) -> dict[Obstacle, Weight]:
    return {remark.code: remark.weight for remark in judge(needed, account)}


def test_the_dev_stack_fits_a_new_account() -> None:
    assert judge(dev(), NEW) == []
    assert dev().concurrency == 10
    assert max(dev().memory_mb.values()) <= NEW_ACCOUNT_FUNCTION_MEMORY


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"denied": ("sqs:CreateQueue",)}, {Obstacle.RIGHT_MISSING: Weight.REFUSED}),
        ({"zones": frozenset({"us-east-1a"})}, {Obstacle.ZONE_CLOSED: Weight.REFUSED}),
        (
            {"service_roles": {**dict.fromkeys(SERVICE_ROLES, True), "ecs.amazonaws.com": False}},
            {Obstacle.SERVICE_ROLE_MISSING: Weight.SHORT},
        ),
        (
            {
                "service_roles": {**dict.fromkeys(SERVICE_ROLES, True), "ecs.amazonaws.com": False},
                "denied": ("iam:CreateServiceLinkedRole",),
            },
            {Obstacle.SERVICE_ROLE_MISSING: Weight.REFUSED, Obstacle.RIGHT_MISSING: Weight.REFUSED},
        ),
        ({"concurrency": Concurrency(limit=10, unreserved=9)}, {Obstacle.CONCURRENCY_SHORT: Weight.SHORT}),
        ({"quotas": {**NEW.quotas, "Fargate vCPUs": 3.0}}, {Obstacle.QUOTA_REACHED: Weight.SHORT}),
        ({"vpcs": 5}, {Obstacle.QUOTA_REACHED: Weight.REFUSED}),
        ({"vpcs": 5, "own_vpc": True}, {}),
        ({"caller": UNREAD}, {Obstacle.ACCOUNT_UNREADABLE: Weight.REFUSED}),
    ],
)
def test_an_obstacle_is_told_with_its_weight(changed, expected) -> None:
    remarks = judge(dev(), replace(NEW, **changed))
    found: dict[Obstacle, Weight] = {}
    for remark in remarks:
        # The heavier one of two with a code.
        found[remark.code] = min(found.get(remark.code, remark.weight), remark.weight, key=list(Weight).index)
        assert remark.value
        assert remark.rule
        assert remark.way_out
    assert found == expected


@pytest.mark.parametrize("question", ["zones", "concurrency", "service_roles", "denied", "vpcs"])
def test_a_question_that_nobody_answers_stays_open_and_refuses_nothing(question) -> None:
    unread: dict[str, Any] = {question: UNREAD}
    (remark,) = judge(dev(), replace(NEW, **unread))
    assert (remark.code, remark.weight) == (Obstacle.QUESTION_OPEN, Weight.OPEN)
    assert "AccessDenied" in remark.value


def test_a_quota_that_nobody_answers_stays_open() -> None:
    assert codes(dev(), replace(NEW, quotas={"VPCs": UNREAD})) == {Obstacle.QUESTION_OPEN: Weight.OPEN}


def test_the_old_defaults_are_short_of_concurrency_and_memory_in_a_new_account() -> None:
    settings = load({"merge": {"memoryMb": 4096}})
    needed = needs(settings, project="receipts", stack="large")
    assert needed.concurrency == 10 + 4 + 4 + 2
    assert codes(needed, NEW) == {
        Obstacle.CONCURRENCY_SHORT: Weight.SHORT,
        Obstacle.FUNCTION_MEMORY_ABOVE_NEW: Weight.OPEN,
    }


def test_spot_tasks_are_of_a_quota_of_their_own() -> None:
    few = replace(NEW, quotas={**NEW.quotas, "Fargate Spot vCPUs": 3.0})
    assert needs(load({"ecs": {"capacity": "spot"}}), project="receipts", stack="a").spot
    assert codes(dev(), few) == {}
    assert codes(replace(dev(), spot=True), few) == {Obstacle.QUOTA_REACHED: Weight.SHORT}


def test_hybrid_has_two_mappings_of_the_function() -> None:
    usual = needs(load({}), project="receipts", stack="a").concurrency
    paused = needs(load({"embedConsumer": "none"}), project="receipts", stack="a").concurrency
    hybrid = needs(load({"embedConsumer": "hybrid"}), project="receipts", stack="a").concurrency
    # Its mapping beside the one of `embed`, and the count of what waits for the worker.
    assert (paused, hybrid) == (usual, usual + 4 + 1)


def test_every_obstacle_has_its_meaning() -> None:
    assert MEANINGS.keys() == set(Obstacle)
