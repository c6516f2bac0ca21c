"""The runs; a failure here moves a receipt backwards, hides a failed one from operators, or loses it from the sweep."""

from typing import Any

import pytest

from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.runs import repository
from pipeline.runs.repository import TRANSITION_TRIES, RunRepository
from pipeline.runs.transitions import ERROR_LIMIT, AttemptFailed, Completed, Merged, Reopened, Transition
from tests.compaction.world import MergeWorld
from tests.world import REGION, TABLE, Clients

PENDING, MERGED, COMPLETED, FAILED = RunState
TRANSITIONS: dict[str, Transition] = {
    "merged": Merged(rows=2),
    "completed": Completed(version="v"),
    "attempt failed while waiting": AttemptFailed(before=PENDING, error="CODE: why", gives_up=False),
    "given up while waiting": AttemptFailed(before=PENDING, error="CODE: why", gives_up=True),
    "given up when merged": AttemptFailed(before=MERGED, error="CODE: why", gives_up=True),
    "attempt failed when completed": AttemptFailed(before=COMPLETED, error="CODE: why", gives_up=True),
    "reopened": Reopened(),
}
EDGES: dict[str, dict[RunState, RunState]] = {
    "merged": {PENDING: MERGED, MERGED: MERGED},
    "completed": {MERGED: COMPLETED},
    "attempt failed while waiting": {PENDING: PENDING},
    "given up while waiting": {PENDING: FAILED},
    "given up when merged": {MERGED: FAILED},
    "attempt failed when completed": {},
    "reopened": {FAILED: PENDING},
}
"""Where each leads from where; from everywhere else it leads nowhere."""
PATHS: dict[RunState, tuple[str, ...]] = {
    PENDING: (),
    MERGED: ("merged",),
    COMPLETED: ("merged", "completed"),
    FAILED: ("given up while waiting",),
}


def bring(world: MergeWorld, reference: RunReference, collection: Any, state: RunState) -> None:
    """Walk one collection of a run to a state."""
    for name in PATHS[state]:
        assert world.runs.move(reference, collection, TRANSITIONS[name])


@pytest.mark.parametrize("before", RunState)
@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_receipt_moves_only_along_the_documented_edges(world, before, name):
    reference = world.run(1)
    bring(world, reference, "lines", before)
    assert world.runs.move(reference, "lines", TRANSITIONS[name]) is (before in EDGES[name])
    assert world.states(reference) == [EDGES[name].get(before, before)]


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
    assert not world.runs.move(reference, "lines", Completed(version="v"))
    assert world.lines(reference).snapshot_version is None


def test_a_failure_is_recorded_in_bounds_counted_and_cleared_by_the_next_success(world):
    reference = world.run(1)
    world.runs.move(reference, "lines", AttemptFailed(before=PENDING, error="E" * 5000, gives_up=False))
    assert (world.lines(reference).error, world.lines(reference).attempts) == ("E" * ERROR_LIMIT, 1)
    world.runs.move(reference, "lines", Merged(rows=2))
    assert (world.lines(reference).error, world.lines(reference).attempts) == (None, 1)


def test_a_run_that_was_never_recorded_cannot_be_moved(world):
    reference = world.run(1).model_copy(update={"run_id": "0" * 32})
    with pytest.raises(PermanentError) as caught:
        world.runs.move(reference, "lines", Merged(rows=2))
    assert caught.value.code is ErrorCode.RUN_MISSING


@pytest.mark.parametrize("races", [1, TRANSITION_TRIES])
def test_two_collections_that_move_at_once_both_arrive_or_the_message_comes_back(world, monkeypatch, races):
    beside = Clients(region_name=REGION)
    reference, other = world.run(1), RunRepository(TABLE, beside("dynamodb"))
    original, left = world.dynamodb.update_item, [races]
    back_and_forth = {PENDING: TRANSITIONS["given up while waiting"], FAILED: Reopened()}

    def raced(**arguments: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            found = other.find(reference)
            assert found is not None
            state = found.words.state
            other.move(reference, "words", Merged(rows=2) if races == 1 else back_and_forth[state])
        return original(**arguments)

    monkeypatch.setattr(world.dynamodb, "update_item", raced)
    if races == TRANSITION_TRIES:
        with pytest.raises(RetryableError) as caught:
            world.runs.move(reference, "lines", Merged(rows=2))
        assert caught.value.code is ErrorCode.RUN_CONFLICT
        return
    assert world.runs.move(reference, "lines", Merged(rows=2))
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
    monkeypatch.setattr(repository, "READ_AT_ONCE", 3)
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
    monkeypatch.setattr(repository.time, "sleep", lambda _: None)
    monkeypatch.setattr(
        world.dynamodb, "batch_get_item", lambda RequestItems: {"Responses": {}, "UnprocessedKeys": RequestItems}
    )
    with pytest.raises(RetryableError) as caught:
        world.runs.find_all([world.run(1)])
    assert caught.value.code is ErrorCode.SERVICE_UNAVAILABLE


def test_a_fact_that_is_recorded_replaces_the_one_before_it(world):
    """A run that was passed over and is then merged after all is no longer superseded."""
    reference = world.run(1)
    world.runs.move(reference, "lines", Merged(rows=0, superseded_by=7))
    assert (world.lines(reference).merged_count, world.lines(reference).superseded_by) == (0, 7)
    world.runs.move(reference, "lines", Merged(rows=2))
    assert (world.lines(reference).merged_count, world.lines(reference).superseded_by) == (2, None)
    world.runs.move(reference, "lines", AttemptFailed(before=MERGED, error="CODE: why", gives_up=True))
    world.runs.move(reference, "lines", Reopened())
    assert (world.lines(reference).error, world.lines(reference).attempts) == (None, 0)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"words": {"expected_count": 1}}, "an upsert has a delta in both collections"),
        ({"kind": "metadata", "changes": {}}, "a metadata run has changes"),
    ],
)
def test_a_run_that_lacks_what_its_kind_needs_is_no_run(world, changes, rule):
    found = world.runs.find(world.run(1))
    assert found is not None
    with pytest.raises(ValueError, match=rule):
        CompactionRun.model_validate(found.model_dump() | changes)
