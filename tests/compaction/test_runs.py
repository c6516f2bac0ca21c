"""The runs; a failure here moves a receipt backwards, hides a failed one from operators, or loses it from the sweep."""

from itertools import pairwise
from typing import Any

import pytest

from pipeline import runs
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import ALLOWED_TRANSITIONS, RunState
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.runs import ERROR_LIMIT, TRANSITION_TRIES, RunRepository
from tests.compaction.world import TABLE, World, world

__all__ = ["world"]

PENDING, MERGED, COMPLETED, FAILED = RunState
PATHS: dict[RunState, tuple[RunState, ...]] = {
    PENDING: (PENDING,),
    MERGED: (PENDING, MERGED),
    COMPLETED: (PENDING, MERGED, COMPLETED),
    FAILED: (PENDING, FAILED),
}


def bring(world: World, reference: RunReference, collection: Any, state: RunState) -> None:
    """Walk one collection of a run to a state."""
    path = PATHS[state]
    for before, after in pairwise(path):
        assert world.runs.transition(reference, collection, {before}, after)


@pytest.mark.parametrize("before", RunState)
@pytest.mark.parametrize("after", RunState)
def test_a_receipt_moves_only_along_the_documented_edges(world, before, after):
    reference = world.run(1)
    bring(world, reference, "lines", before)
    if after is before or after in ALLOWED_TRANSITIONS[before]:
        assert world.runs.transition(reference, "lines", {before}, after)
        assert world.states(reference) == [after]
        return
    with pytest.raises(PermanentError) as caught:
        world.runs.transition(reference, "lines", {before}, after)
    assert caught.value.code is ErrorCode.RUN_CONFLICT
    assert world.states(reference) == [before]


@pytest.mark.parametrize(
    ("lines", "words", "listed"),
    [
        (PENDING, PENDING, PENDING),
        (MERGED, PENDING, PENDING),
        (COMPLETED, PENDING, PENDING),
        (COMPLETED, MERGED, MERGED),
        (FAILED, COMPLETED, FAILED),
        (PENDING, FAILED, FAILED),
        (COMPLETED, COMPLETED, None),
    ],
)
def test_a_receipt_is_listed_under_its_slower_collection_or_its_failure_until_both_are_done(
    world, lines, words, listed
):
    reference = world.run(1)
    bring(world, reference, "lines", lines)
    bring(world, reference, "words", words)
    found = [state for state in RunState for run in world.runs.unfinished(state) if run.reference == reference]
    assert found == ([] if listed is None else [listed])


def test_a_receipt_that_stands_elsewhere_is_left_alone(world):
    reference = world.run(1)
    assert not world.runs.transition(reference, "lines", {MERGED}, COMPLETED, snapshot_version="v")
    assert world.lines(reference).snapshot_version is None


def test_a_failure_is_recorded_in_bounds_counted_and_cleared_by_the_next_success(world):
    reference = world.run(1)
    world.runs.transition(reference, "lines", {PENDING}, PENDING, error="E" * 5000, count_attempt=True)
    assert (world.lines(reference).error, world.lines(reference).attempts) == ("E" * ERROR_LIMIT, 1)
    world.runs.transition(reference, "lines", {PENDING}, MERGED, merged_count=2)
    assert (world.lines(reference).error, world.lines(reference).attempts) == (None, 1)


def test_a_run_that_was_never_recorded_cannot_be_moved(world):
    reference = world.run(1).model_copy(update={"run_id": "0" * 32})
    with pytest.raises(PermanentError) as caught:
        world.runs.transition(reference, "lines", {PENDING}, MERGED)
    assert caught.value.code is ErrorCode.RUN_MISSING


@pytest.mark.parametrize("races", [1, TRANSITION_TRIES])
def test_two_collections_that_move_at_once_both_arrive_or_the_message_comes_back(world, monkeypatch, races):
    reference, other = world.run(1), RunRepository(TABLE, world.dynamodb)
    original, left = world.runs._update, [races]
    back_and_forth = {PENDING: FAILED, FAILED: PENDING}

    def raced(*arguments: Any) -> bool:
        if left[0] > 0:
            left[0] -= 1
            state = other.find(reference).words.state
            other.transition(reference, "words", {state}, MERGED if races == 1 else back_and_forth[state])
        return original(*arguments)

    monkeypatch.setattr(world.runs, "_update", raced)
    if races == TRANSITION_TRIES:
        with pytest.raises(RetryableError) as caught:
            world.runs.transition(reference, "lines", {PENDING}, MERGED)
        assert caught.value.code is ErrorCode.RUN_CONFLICT
        return
    assert world.runs.transition(reference, "lines", {PENDING}, MERGED)
    run = world.runs.find(reference)
    assert (run.lines.state, run.words.state) == (MERGED, MERGED)
    assert [listed.reference for listed in world.runs.unfinished(MERGED)] == [reference]


def test_a_receipt_that_is_recorded_twice_keeps_its_progress(world):
    reference = world.run(1)
    bring(world, reference, "lines", MERGED)
    assert world.run(1) == reference
    assert world.states(reference) == [MERGED]


def test_a_long_list_of_waiting_receipts_is_read_to_its_end(world, monkeypatch):
    references = {world.run(number).run_id for number in range(5)}
    query = world.dynamodb.query
    monkeypatch.setattr(world.dynamodb, "query", lambda **arguments: query(**arguments, Limit=2))
    assert {run.run_id for run in world.runs.unfinished(PENDING)} == references


def test_many_runs_are_read_in_the_order_asked_for_also_when_dynamodb_leaves_some_for_later(world, monkeypatch):
    references = [world.run(number) for number in range(1, 5)]
    missing = references[0].model_copy(update={"run_id": "f" * 32})
    monkeypatch.setattr(runs, "READ_AT_ONCE", 3)
    real, calls = world.dynamodb.batch_get_item, []

    def throttled(RequestItems: dict[str, Any]) -> Any:
        calls.append(RequestItems)
        keys = RequestItems[TABLE]["Keys"]
        now = RequestItems[TABLE] | {"Keys": keys[:1]}
        later = {TABLE: RequestItems[TABLE] | {"Keys": keys[1:]}} if keys[1:] else {}
        return real(RequestItems={TABLE: now}) | {"UnprocessedKeys": later}

    monkeypatch.setattr(world.dynamodb, "batch_get_item", throttled)
    asked = [references[2], missing, *references, references[2]]
    found = world.runs.find_all(asked)
    assert [run.run_id for run in found] == [references[index].run_id for index in (2, 0, 1, 3)]
    assert len(calls) == 5


def test_a_table_that_leaves_runs_unread_for_long_is_tried_again_later(world, monkeypatch):
    monkeypatch.setattr(runs.time, "sleep", lambda _: None)
    monkeypatch.setattr(
        world.dynamodb, "batch_get_item", lambda RequestItems: {"Responses": {}, "UnprocessedKeys": RequestItems}
    )
    with pytest.raises(RetryableError) as caught:
        world.runs.find_all([world.run(1)])
    assert caught.value.code is ErrorCode.SERVICE_UNAVAILABLE
