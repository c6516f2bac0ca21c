"""One queue, one consumer, and every rule of AWS about mappings and dead letters, refused at construction.

A slip here is two consumers that share a queue's messages at random, or an update that AWS breaks half way.
"""

import json
from collections.abc import Callable
from typing import Any

import pulumi_aws as aws
import pytest

from one_consumer.claim.consumers import PipeConsumer, ServiceConsumer
from one_consumer.claim.refusals import ClaimCode, ClaimRefused
from stack.consumers import MappedFunction
from stack.errors import MEANINGS, RefusalCode, StackRefusal
from stack.queues import DeadLetterQueue, Queue, QueueArgs
from stack.rules import check_stream_destination
from tests.program import engine


def queue_and_consumers(
    body: Callable[[Queue, aws.iam.Role, aws.lambda_.Function], object], *, fifo: bool = True
) -> Any:
    """Run a small program with one queue under the recording engine."""

    def program() -> None:
        role = aws.iam.Role("role", assume_role_policy="{}")
        function = aws.lambda_.Function("function", role=role.arn, package_type="Image", image_uri="i")
        body(Queue("embed", QueueArgs(fifo=fifo, visibility_timeout_seconds=60, consumer="lambda")), role, function)

    return engine.run_program({}, program=program)


def function_consumer(role: Any, function: Any, **changed: Any) -> MappedFunction:
    usual: dict[str, Any] = {
        "claimant": "the-function",
        "function_timeout_seconds": 60,
        "batch_size": 10,
        "maximum_concurrency": 2,
    }
    return MappedFunction(role_arn=role.arn, function=function, **{**usual, **changed})


ON: dict[str, Callable[[Any, Any], Any]] = {
    "mapping enabled": function_consumer,
    "mapping enabled by default": lambda role, function: function_consumer(role, function, enabled=None),
    "desired count 1": lambda role, _: ServiceConsumer(claimant="a-service", role_arn=role.arn, desired_count=1),
    "scaling up to 4 tasks": lambda role, _: ServiceConsumer(
        claimant="a-scaled-service", role_arn=role.arn, desired_count=0, maximum_capacity=4
    ),
    "scaling up to 1 task,": lambda role, _: ServiceConsumer(
        claimant="a-restarted-service", role_arn=role.arn, desired_count=0, minimum_capacity=1
    ),
    "desired count of 0 that is ignored": lambda role, _: ServiceConsumer(
        claimant="a-deaf-service", role_arn=role.arn, desired_count=0, ignores_desired_count=True
    ),
    "pipe running by default": lambda role, _: PipeConsumer(claimant="a-pipe", role_arn=role.arn),
}
OFF: dict[str, Callable[[Any, Any], Any]] = {
    "mapping": lambda role, function: function_consumer(role, function, enabled=False),
    "service": lambda role, _: ServiceConsumer(claimant="a-service", role_arn=role.arn, desired_count=0),
    "pipe": lambda role, _: PipeConsumer(claimant="a-pipe", role_arn=role.arn, desired_state="STOPPED"),
}


@pytest.mark.parametrize("why", ON)
def test_a_second_consumer_that_is_on_is_refused_with_both_names_and_why(why: str) -> None:
    def body(queue: Queue, role: Any, function: Any) -> None:
        holder = ServiceConsumer(claimant="the-holder", role_arn=role.arn, desired_count=1)
        queue.consume_with(holder, role, parent=queue)
        queue.consume_with(second := ON[why](role, function), role, parent=queue)
        raise AssertionError(second)

    with pytest.raises(ClaimRefused) as refused:
        queue_and_consumers(body)
    refusal = refused.value
    assert refusal.code == ClaimCode.ONE_CONSUMER
    assert "the-holder" in refusal.value
    assert "claimed by" in refusal.value
    assert why in refusal.value
    assert "embedConsumer" in refusal.way_out


@pytest.mark.parametrize("why", ON)
def test_whoever_is_on_first_holds_the_queue_against_a_mapping(why: str) -> None:
    def body(queue: Queue, role: Any, function: Any) -> None:
        queue.consume_with(ON[why](role, function), role, parent=queue)
        queue.consume_with(function_consumer(role, function, claimant="late"), role, parent=queue)

    with pytest.raises(ClaimRefused) as refused:
        queue_and_consumers(body)
    assert refused.value.code == ClaimCode.ONE_CONSUMER


def test_consumers_that_are_off_stand_beside_the_one_that_is_on() -> None:
    def body(queue: Queue, role: Any, function: Any) -> None:
        for make in OFF.values():
            queue.consume_with(make(role, function), role, parent=queue)
        queue.consume_with(
            ServiceConsumer(claimant="the-holder", role_arn=role.arn, desired_count=1), role, parent=queue
        )

    recording = queue_and_consumers(body)
    lock = recording.one("aws:sqs/queuePolicy:QueuePolicy", "embed-lock")
    statements = {item["Sid"]: item for item in json.loads(lock.inputs["policy"])["Statement"]}
    assert statements.keys() == {"OnlyTheConsumerReceives", "RefuseWithoutTls"}
    closed = statements["OnlyTheConsumerReceives"]
    assert closed["Effect"] == "Deny"
    assert closed["Action"] == "sqs:ReceiveMessage"
    assert closed["Condition"]["ArnNotLike"]["aws:PrincipalArn"][0].endswith("role")


MAPPINGS: list[tuple[dict[str, Any], bool, RefusalCode]] = [
    ({"batching_window_seconds": 5}, True, RefusalCode.FIFO_BATCHING_WINDOW),
    ({"batch_size": 11}, True, RefusalCode.BATCH_SIZE),
    ({"batch_size": 0}, True, RefusalCode.BATCH_SIZE),
    ({"batch_size": 11}, False, RefusalCode.BATCH_SIZE),
    ({"batch_size": 10_001, "batching_window_seconds": 1}, False, RefusalCode.BATCH_SIZE),
    ({"maximum_concurrency": 1}, True, RefusalCode.MAXIMUM_CONCURRENCY),
    ({"maximum_concurrency": 1_001}, False, RefusalCode.MAXIMUM_CONCURRENCY),
    ({"provisioned_pollers": 2}, True, RefusalCode.CONCURRENCY_AND_POLLERS),
    ({"provisioned_pollers": 10_001, "maximum_concurrency": None}, True, RefusalCode.OUT_OF_RANGE),
    ({"provisioned_pollers": 0, "maximum_concurrency": None}, True, RefusalCode.OUT_OF_RANGE),
    ({"function_timeout_seconds": 61}, True, RefusalCode.VISIBILITY_BELOW_TIMEOUT),
]


@pytest.mark.parametrize(("changed", "fifo", "code"), MAPPINGS)
def test_a_mapping_that_aws_would_refuse_is_refused_before_it_is_made(
    changed: dict[str, Any], fifo: bool, code: RefusalCode
) -> None:
    def body(queue: Queue, role: Any, function: Any) -> None:
        queue.consume_with(function_consumer(role, function, **changed), role, parent=queue)

    with pytest.raises(StackRefusal) as refused:
        queue_and_consumers(body, fifo=fifo)
    assert refused.value.code == code


@pytest.mark.parametrize("fifo", [True, False])
def test_a_dead_letter_queue_of_the_other_kind_is_refused(fifo: bool) -> None:
    def program() -> None:
        other = DeadLetterQueue("other", fifo=not fifo)
        Queue("queue", QueueArgs(fifo=fifo, visibility_timeout_seconds=60, dead_letter=other))

    with pytest.raises(StackRefusal) as refused:
        engine.run_program({}, program=program)
    assert refused.value.code == RefusalCode.DEAD_LETTER_KIND


def test_a_fifo_destination_of_a_stream_is_refused() -> None:
    with pytest.raises(StackRefusal) as refused:
        check_stream_destination("failures", fifo=True)
    assert refused.value.code == RefusalCode.STREAM_DESTINATION_KIND


def test_every_code_is_explained() -> None:
    assert set(MEANINGS) == set(RefusalCode)
