"""The claim in somebody else's program: queues and consumers that this repository did not make.

A claim that must replace a queue, or that speaks of settings nobody there has, is a claim that is not adopted.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from pulumi_aws.sqs.get_queue import GetQueueResult

from one_consumer.claim.consumers import Consumer, FunctionConsumer, PipeConsumer, ServiceConsumer
from one_consumer.claim.handover import Handover, drained_hook
from one_consumer.claim.queue import ClaimedQueue
from one_consumer.claim.refusals import MEANINGS, ClaimCode, ClaimRefused
from one_consumer.live import drain
from one_consumer.live.access import AwsAccess
from one_consumer.live.observation import Identity
from tests.program.engine import Recording, run_program

POLICY = "aws:sqs/queuePolicy:QueuePolicy"
ARN = "arn:aws:sqs:us-east-1:1:jobs"
URL = "https://sqs.us-east-1.amazonaws.com/1/jobs"
ROLE = "arn:aws:iam::1:role/worker"
ON = ServiceConsumer(claimant="the worker", role_arn=ROLE, desired_count=1)


@dataclass(frozen=True)
class Laptop:
    """A consumer of a kind that the guard does not know."""

    claimant: str = "a laptop"
    role_arn: str = "arn:aws:iam::1:role/somebody"
    on: str | None = "it is open"


def record(body: Callable[[], object]) -> Recording:
    return run_program({}, program=body)


def looked_up() -> ClaimedQueue:
    """The claim on a queue that another program made."""
    found = GetQueueResult(arn=ARN, id=URL, name="jobs", region="us-east-1", tags={}, url=URL)
    return ClaimedQueue.of("jobs", found)


def lock_of(recording: Recording) -> dict[str, Any]:
    (lock,) = recording.of(POLICY)
    return json.loads(lock.inputs["policy"])


def test_a_queue_that_was_looked_up_is_claimed_and_locked_and_nothing_else_is_made() -> None:
    def body() -> None:
        claimed = looked_up()
        claimed.claim(ON)
        claimed.lock()

    recording = record(body)
    assert [made.type for made in recording.made.values()] == [POLICY]
    (lock,) = recording.of(POLICY)
    assert (lock.name, lock.inputs["queueUrl"]) == ("jobs-lock", URL)
    (closed,) = lock_of(recording)["Statement"]
    assert (closed["Effect"], closed["Principal"], closed["Action"]) == ("Deny", "*", "sqs:ReceiveMessage")
    assert closed["Resource"] == ARN
    assert closed["Condition"] == {"ArnNotLike": {"aws:PrincipalArn": [ROLE, "arn:aws:sts::1:assumed-role/worker/*"]}}


def test_a_queue_of_the_program_stays_as_it_is() -> None:
    def body(claimed: bool) -> Callable[[], None]:
        def program() -> None:
            queue = aws.sqs.Queue("jobs", visibility_timeout_seconds=60)
            if claimed:
                claim = ClaimedQueue.of("jobs", queue)
                claim.claim(ON)
                claim.lock()

        return program

    alone, guarded = (record(body(claimed)).of("aws:sqs/queue:Queue") for claimed in (False, True))
    assert alone == guarded


def test_without_a_consumer_the_lock_lets_nobody_in() -> None:
    def body() -> None:
        claimed = looked_up()
        claimed.claim(PipeConsumer(claimant="a pipe", role_arn=ROLE, desired_state="STOPPED"))
        assert claimed.holder is None
        claimed.lock()

    (closed,) = lock_of(record(body))["Statement"]
    assert "Condition" not in closed


def test_the_lock_keeps_the_statements_that_the_queues_policy_had() -> None:
    allowed = {"Sid": "TopicSends", "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}}
    recording = record(lambda: looked_up().lock(statements=[allowed]))
    assert [item["Sid"] for item in lock_of(recording)["Statement"]] == ["OnlyTheConsumerReceives", "TopicSends"]


@pytest.mark.parametrize(
    "second",
    [
        FunctionConsumer(claimant="a function", role_arn=ROLE),
        FunctionConsumer(claimant="an unset function", role_arn=ROLE, enabled=None),
        ServiceConsumer(claimant="a scaled service", role_arn=ROLE, desired_count=0, maximum_capacity=2),
        PipeConsumer(claimant="a pipe", role_arn=ROLE),
        Laptop(),
    ],
    ids=lambda consumer: consumer.claimant,
)
def test_a_second_consumer_of_any_kind_is_refused_whoever_claims_first(second: Consumer) -> None:
    for first, late in ((ON, second), (second, ON)):
        claimed = ClaimedQueue("jobs", url=URL, arn=ARN)
        claimed.claim(first)
        with pytest.raises(ClaimRefused) as refused:
            claimed.claim(late)
        assert refused.value.code == ClaimCode.ONE_CONSUMER
        assert first.claimant in str(refused.value)
        assert late.claimant in str(refused.value)
        assert late.on is not None
        assert late.on in str(refused.value)
        assert "receipts" not in str(refused.value)


def test_what_decides_is_named_where_the_program_says_it() -> None:
    claimed = ClaimedQueue("jobs", url=URL, arn=ARN, decided_by="the setting shop:consumer")
    claimed.claim(ON)
    with pytest.raises(ClaimRefused, match="turn one of them off; the setting shop:consumer decides which"):
        claimed.claim(Laptop())


def test_a_consumer_that_is_on_comes_before_the_lock_and_one_that_is_off_may_come_after() -> None:
    def body() -> None:
        claimed = looked_up()
        claimed.lock()
        claimed.claim(FunctionConsumer(claimant="off", role_arn=ROLE, enabled=False))
        with pytest.raises(ClaimRefused) as refused:
            claimed.claim(ON)
        assert refused.value.code == ClaimCode.CLAIM_AFTER_LOCK

    record(body)


def test_a_queue_is_locked_once() -> None:
    def body() -> None:
        claimed = looked_up()
        claimed.lock()
        with pytest.raises(ClaimRefused) as refused:
            claimed.lock()
        assert refused.value.code == ClaimCode.LOCKED_TWICE

    record(body)


def test_every_code_is_explained() -> None:
    assert set(MEANINGS) == set(ClaimCode)


@pytest.mark.parametrize("secret", [False, True])
def test_the_hook_waits_at_the_queue_whose_policy_changes(monkeypatch: pytest.MonkeyPatch, secret: bool) -> None:
    waited: list[Any] = []

    async def wait(observer: Any, url: str, **rest: Any) -> None:
        waited.append((url, rest["winner"], rest["patience"].timeout_seconds))

    monkeypatch.setattr(drain, "wait_until_drained", wait)
    winner = Identity(kind="service", name="worker", cluster="work")

    def body() -> None:
        hook = drained_hook("is-drained", AwsAccess(region="us-east-1"), winner=winner, timeout_seconds=7)
        claimed = looked_up()
        claimed.claim(ON)
        lock = claimed.lock(handover=Handover(drained=hook))
        assert isinstance(lock, aws.sqs.QueuePolicy)
        url = pulumi.Output.secret(URL) if secret else URL
        told = pulumi.ResourceHookArgs(urn="u", id="", name="n", type="t", new_inputs={"queueUrl": url})
        called.append(asyncio.ensure_future(hook.callback(told)))  # type: ignore[arg-type]

    called: list[Any] = []
    recording = record(body)
    (lock,) = recording.of(POLICY)
    assert lock.hooks == dict.fromkeys(("before_create", "before_update"), ("is-drained",))
    assert waited == [(URL, winner, 7)]
