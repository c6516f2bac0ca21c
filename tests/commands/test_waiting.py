"""Waits end when they can end no other way. A failure keeps a person before a bar that never moves."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from ops.probing import STAGES, passed
from ops.submitting import without_repetitions
from ops.target import OperatorError
from ops.waiting import (
    ABSENT_SECONDS,
    LOOK_SECONDS,
    ConsumerWatch,
    WaitResult,
    is_of_before,
    require_complete,
    stage_of,
)
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun, RunState
from tests.bad_documents import document, receipt
from tests.compaction.test_stream_processor import run

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
ONE, TWO = ("ca5e0000-0000-4000-8000-0000000000a1", "ca5e0000-0000-4000-8000-0000000000a2")


def in_states(lines: RunState, words: RunState) -> CompactionRun:
    return run(1).in_state("lines", lines).in_state("words", words)


@pytest.mark.parametrize(
    ("lines", "words", "waits_for"),
    [
        (RunState.PENDING, RunState.PENDING, "to be merged"),
        (RunState.COMPLETED, RunState.PENDING, "to be merged"),
        (RunState.MERGED, RunState.COMPLETED, "to be published"),
    ],
)
def test_what_a_receipt_waits_for_is_told(lines, words, waits_for):
    assert stage_of(in_states(lines, words)) == waits_for
    assert stage_of(None) == "to be embedded"


@pytest.mark.parametrize(
    ("seconds", "earlier"), [(-3_600, True), (-3, True), (-1, False), (0, False), (1, False), (None, False)]
)
def test_the_failure_of_an_earlier_upload_of_the_same_content_is_not_this_ones(seconds, earlier):
    uploaded_at = None if seconds is None else NOON + timedelta(seconds=seconds)
    failed = run(1).model_copy(update={"uploaded_at": uploaded_at})
    assert is_of_before(failed, NOON) is earlier
    assert not is_of_before(failed, None)


def watch(consumer: str, *absent: list[str]) -> ConsumerWatch:
    looks = iter(absent)
    target: Any = SimpleNamespace(outputs={"embedConsumer": consumer})
    return ConsumerWatch(target, lambda _: next(looks))


def test_a_pause_ends_the_wait_at_once():
    stopped = watch("none").reason(0, came=False)
    assert stopped is not None
    assert stopped.code == "NOT_CONSUMED"
    assert "receipts switch" in stopped.way_out


def test_nobody_for_a_minute_ends_the_wait_and_a_gap_between_two_consumers_does_not():
    looks = int(ABSENT_SECONDS / LOOK_SECONDS) + 1
    gone = watch("ecs", *[["embed"]] * looks)
    told = [gone.reason(second, came=False) for second in range(round(ABSENT_SECONDS + LOOK_SECONDS) + 1)]
    assert [item for item in told[:-1] if item] == []
    assert told[-1] is not None
    assert told[-1].code == "NO_CONSUMER"
    switched = watch("ecs", *[["embed"]] * (looks - 2), [], *[["embed"]] * looks)
    seconds = range(round(ABSENT_SECONDS + LOOK_SECONDS) + 1)
    assert not any(switched.reason(second, came=False) for second in seconds)


def test_while_something_comes_nobody_is_looked_for():
    busy = watch("ecs")
    assert not any(busy.reason(second, came=True) for second in range(0, 600, 5))


def test_a_wait_that_was_stopped_is_told_by_its_reason_and_a_failed_run_by_its_own():
    why = OperatorError("NOT_CONSUMED", "nobody", "switch")
    missing = (RunReference(**run(2).reference.model_dump()),)
    with pytest.raises(OperatorError, match="NOT_CONSUMED: nobody; receipts that are not searchable yet: 1"):
        require_complete(WaitResult(completed=(), failed=(), missing=missing, stopped=why))
    with pytest.raises(OperatorError, match="NOT_SEARCHABLE: run"):
        require_complete(WaitResult(completed=(), failed=(run(1),), missing=missing, stopped=why))


@pytest.mark.parametrize(
    ("found", "taken", "seen", "stages"),
    [
        (None, False, False, 0),
        (None, True, False, 1),
        (in_states(RunState.PENDING, RunState.MERGED), True, False, 2),
        (in_states(RunState.MERGED, RunState.COMPLETED), True, False, 3),
        (in_states(RunState.COMPLETED, RunState.COMPLETED), True, False, 4),
        (in_states(RunState.COMPLETED, RunState.COMPLETED), True, True, 5),
    ],
)
def test_a_test_receipt_passes_the_stages_in_their_order(found, taken, seen, stages):
    assert passed(found, taken=taken, seen=seen) == stages <= len(STAGES)


def test_of_one_image_the_same_is_uploaded_once_and_what_differs_not_at_all():
    first = document(receipt(1), image_id=ONE)
    other = document(receipt(2), image_id=ONE)
    alone = document(receipt(1), image_id=TWO)
    documents, repeated, refused = without_repetitions([("a", first), ("b", alone), ("c", first)])
    assert ([name for name, _ in documents], repeated, refused) == (["a", "b"], [("c", "a")], [])
    documents, repeated, refused = without_repetitions([("a", first), ("b", alone), ("c", other), ("d", first)])
    assert ([name for name, _ in documents], repeated) == (["b"], [("d", "a")])
    (error,) = refused
    assert error.code == "IMAGE_TWICE"
    assert "a and c are both of image" in error.message
