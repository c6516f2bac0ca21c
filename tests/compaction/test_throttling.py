"""A throttled table, at every call of stages 2 and 3. A failure here loses a run, blames it, or gives its message up.

The client itself tries again; what is refused for longer is left for the next delivery and counts against nobody.
"""

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from compaction_handler.lease import acquire
from compaction_handler.merging import CollectionMerger
from one_consumer.live.clients import ATTEMPTS
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import RunState
from pipeline.embedding.work import Disposition
from pipeline.errors import ErrorCode, RetryableError
from pipeline.runs.repository import RECORD_TRIES, RunRepository
from tests.compaction.world import MergeWorld, ids
from tests.stages.anything import refusal
from tests.stages.embedding_world import EmbeddingWorld, OneCallAtATime, dispositions
from tests.stages.throttle import THROTTLED, Throttle
from tests.world import TABLE


@pytest.fixture
def embedding_world(aws: None, throttle: Throttle) -> Iterator[EmbeddingWorld]:
    """Stage 2 with a table that is throttled."""
    client = throttle.client()
    world = EmbeddingWorld()
    world.dynamodb = OneCallAtATime(client)
    yield world.create()
    client.close()


@pytest.fixture
def throttle(monkeypatch: pytest.MonkeyPatch) -> Throttle:
    # The pauses of the client, and of what tries again around it.
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return Throttle()


@pytest.fixture
def throttled(world: MergeWorld, throttle: Throttle) -> Iterator[MergeWorld]:
    client = throttle.client()
    world.dynamodb, world.runs = client, RunRepository(TABLE, client)
    yield world
    client.close()


@pytest.mark.parametrize("code", THROTTLED)
def test_what_passes_within_the_clients_own_attempts_is_noticed_by_nobody(throttled, throttle, code):
    throttle.code, throttle.refuses = code, lambda _, attempt: attempt < ATTEMPTS
    merger, reference = throttled.merger(), throttled.run(1)
    merger.merge([reference])
    merger.tick()
    assert throttled.states(reference) == [RunState.COMPLETED]
    assert throttled.lines(reference).attempts == 0
    assert set(throttle.calls.values()) >= {"GetItem", "BatchGetItem", "Query", "UpdateItem", "TransactWriteItems"}
    assert throttle.requests == ATTEMPTS * len(throttle.calls), "a call was not tried again"


def test_a_merge_that_is_throttled_from_any_call_on_loses_nothing_and_blames_nobody(throttled, throttle):
    merger = throttled.merger()
    number, last, refused = 1, -1, 0
    merger.merge([throttled.run(number)])
    while True:
        number += 1
        reference = throttled.run(number)
        throttle.forget()
        # Every third call: what is beside it is of the same kind.
        last += 3
        throttle.refuses = lambda call, _, last=last: call >= last
        error = refused_with(merger, reference)
        if error is not None:
            assert error.code is ErrorCode.SERVICE_UNAVAILABLE, (last, error)
            refused += 1
        seen = len(throttle.calls)
        throttle.refuses = lambda _, __: False
        assert throttled.lines(reference).attempts == 0, last
        # A lease that could not be given back is waited for.
        expire(throttled)
        if throttled.states(reference) != [RunState.COMPLETED]:
            merger.merge([reference])
        assert throttled.states(reference) == [RunState.COMPLETED], last
        if seen <= last:
            break
    assert refused >= 4
    assert throttled.readers() == [ids(*range(1, number + 1))] * 2


def refused_with(merger: CollectionMerger, reference: RunReference) -> RetryableError | None:
    try:
        merger.merge([reference])
    except RetryableError as error:
        return error
    return None


def expire(world: MergeWorld) -> None:
    """The time of a lease that could not be given back passes."""
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"PK": {"S": "COLLECTION#lines"}, "SK": {"S": "LEASE"}},
        UpdateExpression="SET expires = :zero",
        ExpressionAttributeValues={":zero": {"N": "0"}},
    )


def test_a_tick_that_is_throttled_blames_nobody(throttled, throttle):
    merger, reference = throttled.merger(), throttled.run(1)
    for last in range(4):
        throttle.forget()
        throttle.refuses = lambda call, _, last=last: call >= last
        with pytest.raises(RetryableError) as caught:
            merger.tick()
        assert caught.value.code is ErrorCode.SERVICE_UNAVAILABLE
    throttle.refuses = lambda _, __: False
    assert (throttled.lines(reference).attempts, throttled.states(reference)) == (0, [RunState.PENDING])


def test_a_receipt_whose_table_is_throttled_from_any_call_on_is_recorded_once_later(embedding_world, throttle):
    for last in range(6):
        message = embedding_world.message(last + 1)
        throttle.forget()
        throttle.refuses = lambda call, _, last=last: call >= last
        (first,) = dispositions(embedding_world, embedding_world.incoming(message))
        if len(throttle.calls) <= last:
            break
        assert first is Disposition.RETRY, last
        throttle.refuses = lambda _, __: False
        assert dispositions(embedding_world, embedding_world.incoming(message)) == [Disposition.EMBEDDED]
        assert len(embedding_world.runs.of_receipt(message.image_id, message.receipt_id)) == 1
    assert last >= 2
    assert embedding_world.queues.sent == [], "nothing is parked"


@pytest.mark.parametrize("reason", ["ThrottlingError", "ProvisionedThroughputExceeded"])
@pytest.mark.parametrize("times", [1, RECORD_TRIES])
def test_a_transaction_that_is_cancelled_because_of_throttling_is_tried_again_and_told_as_that(
    world, monkeypatch, throttle, reason, times
):
    """DynamoDB says it of one item of the transaction, in words that the client does not try again for."""
    left = [refusal("TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": reason}])] * times
    original = world.dynamodb.transact_write_items

    def transact(**arguments: Any) -> Any:
        if left:
            raise left.pop()
        return original(**arguments)

    monkeypatch.setattr(world.dynamodb, "transact_write_items", transact)
    if times == 1:
        assert world.lines(world.run(1)).state is RunState.PENDING
        return
    with pytest.raises(RetryableError) as caught:
        world.run(1)
    assert caught.value.code is ErrorCode.SERVICE_UNAVAILABLE
    assert world.runs.of_receipt(UUID(int=1), 1) == []


def test_a_lease_that_is_throttled_is_not_told_as_held_by_somebody(throttled, throttle):
    throttle.refuses = lambda _, __: True
    with pytest.raises(RetryableError) as caught:
        acquire(TABLE, throttled.dynamodb, "lines", 60, sleep=lambda _: None)
    assert caught.value.code is ErrorCode.SERVICE_UNAVAILABLE
