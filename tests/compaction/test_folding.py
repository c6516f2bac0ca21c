"""Folding and planning, without Chroma; a failure lets the order of arrival decide what a receipt is."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compaction_handler.planning import (
    DELTAS_AT_ONCE,
    ROWS_AT_ONCE,
    batches,
    deltas_needed,
    is_publication_due,
    make_plan,
)
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import VERSIONS_KEPT, Pointer, expired_versions, replaced_by_next, version_name
from pipeline.collections.ledger import LedgerEntry, RunOutcome, decode_state, encode_state
from pipeline.collections.receipts import Operation, ReceiptKey, ReceiptState, fold
from pipeline.contracts.run import Order, RunKind
from tests.compaction.test_operations import operation as recorded

KEY = ReceiptKey(str(UUID(int=1)), 1)
START = datetime(2026, 1, 2, tzinfo=UTC)


def operation(version: int, kind: RunKind, **changes: Any) -> Operation:
    return Operation(order=Order("", "", version, f"run-{version}"), kind=kind, changes=changes)


KINDS: tuple[RunKind, ...] = ("upsert", "delete", "metadata")
OPERATIONS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["A", "B"])), min_size=1, max_size=8).map(
    lambda drawn: [operation(place, kind, field=value) for place, (kind, value) in enumerate(drawn, 1)]
)


@given(OPERATIONS, st.randoms(use_true_random=False), st.integers(0, 8))
def test_operations_fold_to_the_same_receipt_in_any_order_in_any_portions_and_however_often(arrived, order, cut):
    expected = fold(ReceiptState(), arrived)
    shuffled = [*arrived, *order.sample(arrived, len(arrived) // 2)]
    order.shuffle(shuffled)
    assert fold(fold(ReceiptState(), shuffled[:cut]), shuffled[cut:]) == expected


def test_the_newest_upsert_decides_and_later_corrections_go_on_top():
    state = fold(
        ReceiptState(),
        [
            operation(4, "metadata", merchant_name="late"),
            operation(1, "upsert"),
            operation(3, "upsert"),
            operation(2, "metadata", merchant_name="early"),
        ],
    )
    assert state.decided_by is not None
    assert state.decided_by.run_id == "run-3"
    assert state.changes == {"merchant_name": "late"}


def test_an_upsert_brings_its_corrections_with_it_and_newer_ones_go_on_top():
    upsert = operation(3, "upsert", merchant_name="A", page="1")
    assert fold(ReceiptState(), [upsert]).changes == {"merchant_name": "A", "page": "1"}
    state = fold(ReceiptState(), [operation(2, "metadata", page="0"), operation(4, "metadata", page="2"), upsert])
    assert state.changes == {"merchant_name": "A", "page": "2"}
    made = plan(LedgerEntry(), upsert, run_3=1)
    assert made.changes == {KEY: upsert.changes}


def plan(held: LedgerEntry, *arrived: Operation, **delta_rows: int):
    return make_plan(
        {KEY: held}, {KEY: list(arrived)}, {name.replace("_", "-"): rows for name, rows in delta_rows.items()}
    )


def test_a_delete_and_a_new_insert_in_one_batch_keep_the_fresh_rows_whichever_comes_first():
    held = LedgerEntry(state=fold(ReceiptState(), [operation(1, "upsert")]), rows=3)
    for arrived in ([operation(2, "delete"), operation(3, "upsert")], [operation(3, "upsert"), operation(2, "delete")]):
        made = plan(held, *arrived, run_3=2)
        assert {key: upsert.run_id for key, upsert in made.upserts.items()} == {KEY: "run-3"}
        assert made.removals == []
        assert made.outcomes == {"run-2": RunOutcome(rows=0, superseded_by=3), "run-3": RunOutcome(rows=2)}


def at(second: int, made: Operation, **fields: Any) -> Operation:
    return replace(made, order=made.order._replace(happened_at=f"2026-01-02T00:00:{second:02}.000000+00:00"), **fields)


@pytest.mark.parametrize("again", ["uploaded again", "repaired", "after a correction", "with other fields"])
def test_a_later_upload_of_what_is_there_writes_no_rows_and_a_repair_does(again):
    first = at(1, operation(1, "upsert"), delta_run_id="run-1")
    patches = [at(2, operation(2, "metadata", merchant_name="A"))] if again == "after a correction" else []
    changes = {"merchant_name": "B"} if again == "with other fields" else {}
    held = LedgerEntry(state=fold(ReceiptState(), [first, *patches]), rows=3)
    later = at(1 if again == "repaired" else 3, operation(3, "upsert", **changes), delta_run_id="run-1")
    made = plan(held, later, run_3=3)
    assert set(made.upserts) == (set() if again == "uploaded again" else {KEY})
    assert made.states[KEY].decided_by == later
    assert made.outcomes == {"run-3": RunOutcome(rows=3)}
    # What happened in between and arrives late changes nothing.
    late = plan(LedgerEntry(state=made.states[KEY], rows=3), at(1, operation(4, "delete")), run_3=3)
    assert (late.removals, late.upserts) == ([], {}) if again != "repaired" else late.removals == [KEY]


def test_a_delete_that_came_last_removes_the_receipt_and_brings_nothing():
    held = LedgerEntry(state=fold(ReceiptState(), [operation(1, "upsert")]), rows=3)
    made = plan(held, operation(3, "delete"), operation(2, "upsert"))
    assert (made.upserts, made.removals) == ({}, [KEY])
    assert made.outcomes == {"run-2": RunOutcome(rows=0, superseded_by=3), "run-3": RunOutcome(rows=0)}


def test_a_superseded_delta_is_never_read():
    arrived = {KEY: [operation(1, "upsert"), operation(2, "upsert")]}
    assert deltas_needed({KEY: LedgerEntry()}, arrived) == {"run-2"}
    held = LedgerEntry(state=fold(ReceiptState(), [operation(3, "delete")]))
    assert deltas_needed({KEY: held}, arrived) == set()


def test_a_late_upsert_is_skipped_and_says_by_what_it_was_superseded():
    held = LedgerEntry(state=fold(ReceiptState(), [operation(2, "upsert")]), rows=1)
    made = plan(held, operation(1, "upsert"))
    assert (made.upserts, made.removals, made.changes) == ({}, [], {})
    assert made.outcomes == {"run-1": RunOutcome(rows=0, superseded_by=2)}


def test_a_correction_that_arrives_before_its_receipt_waits_for_it():
    early = plan(LedgerEntry(), operation(2, "metadata", merchant_name="B"))
    assert early.outcomes == {"run-2": RunOutcome(rows=0)}
    late = plan(LedgerEntry(state=early.states[KEY]), operation(1, "upsert"), run_1=1)
    assert late.changes == {KEY: {"merchant_name": "B"}}
    assert late.states[KEY].changes == {"merchant_name": "B"}


def test_an_older_correction_does_not_undo_a_newer_one():
    held = LedgerEntry(
        state=fold(ReceiptState(), [operation(1, "upsert"), operation(3, "metadata", merchant_name="C")]), rows=1
    )
    made = plan(held, operation(2, "metadata", merchant_name="B", merchant_source="given"))
    assert made.changes == {KEY: {"merchant_name": "C", "merchant_source": "given"}}


def test_batches_hold_three_hundred_deltas_at_most_and_suspects_go_alone_and_last():
    runs = [recorded(number) for number in range(700)]
    suspect = runs[0]
    runs[0] = suspect.model_copy(update={"lines": suspect.lines.model_copy(update={"attempts": 1})})
    made = list(batches(runs, "lines"))
    assert [len(batch) for batch in made] == [DELTAS_AT_ONCE, DELTAS_AT_ONCE, 99, 1]
    assert made[-1] == [runs[0]]


def test_a_batch_of_large_receipts_is_bounded_by_its_rows():
    rows = ROWS_AT_ONCE // 2
    runs = [
        run.model_copy(update={"lines": run.lines.model_copy(update={"expected_count": rows})})
        for run in map(recorded, range(5))
    ]
    assert [len(batch) for batch in batches(runs, "lines")] == [2, 2, 1]


def pointer(version: str, replaced: Mapping[str, datetime] | None = None, published_at: datetime = START) -> Pointer:
    return Pointer(
        version=version,
        fence=1,
        count=0,
        model="m",
        dimensions=1,
        digest="0" * 64,
        published_at=published_at,
        replaced=dict(replaced or {}),
    )


@pytest.mark.parametrize(("seconds", "due"), [(59, False), (60, True)])
def test_a_publication_is_due_when_the_interval_is_over_and_never_before(seconds, due):
    current = pointer(version_name(1, "owner", 1), published_at=START - timedelta(seconds=seconds))
    assert is_publication_due(current, START, timedelta(seconds=60)) is due
    assert is_publication_due(None, START, timedelta(seconds=60))


def test_a_version_has_its_grace_from_when_the_pointer_left_it_whatever_stands_between():
    first, orphan, third = (version_name(fence, "owner", 1) for fence in (1, 2, 3))
    left = START + timedelta(hours=9)
    written = {first: START, orphan: START + timedelta(minutes=1), third: left}
    current = pointer(third, replaced_by_next(pointer(first), left))
    assert expired_versions(written, current, left) == [orphan]
    assert expired_versions(written, current, left + VERSIONS_KEPT) == [orphan]
    assert expired_versions(written, current, left + VERSIONS_KEPT * 2) == [first, orphan]
    assert expired_versions(written, pointer(first), START + timedelta(days=9)) == []


def test_a_damaged_version_beside_the_current_one_is_kept_until_that_is_replaced():
    first, second = (version_name(fence, "owner", 1) for fence in (1, 2))
    written = {f"{first}.damaged": START, first: START}
    later = START + timedelta(days=1)
    assert expired_versions(written, pointer(first), later) == []
    current = pointer(second, replaced_by_next(pointer(first), later))
    assert expired_versions(written, current, later) == [f"{first}.damaged"]


def test_a_pointer_forgets_what_it_replaced_when_the_grace_is_over():
    names = [version_name(fence, "owner", 1) for fence in range(1, 5)]
    current, moment = pointer(names[0]), START
    for name in names[1:]:
        moment += VERSIONS_KEPT * 0.7
        current = pointer(name, replaced_by_next(current, moment))
    assert list(current.replaced) == names[1:3]


def test_suspects_go_last_and_in_smaller_and_smaller_portions():
    attempts = [0] * 10 + [1] * 60 + [2] * 12 + [3] * 2 + [4] * 16
    runs = [
        run.model_copy(update={"lines": run.lines.model_copy(update={"attempts": tried})})
        for run, tried in zip(map(recorded, range(100)), attempts, strict=True)
    ]
    assert [len(batch) for batch in batches(reversed(runs), "lines")] == [10, 40, 20, 5, 5, 2, *[1] * 18]


def test_a_ledger_reads_back_what_was_written(tmp_path):
    state = fold(ReceiptState(), [operation(1, "upsert"), operation(2, "metadata", merchant_name="Æ")])
    removed, other = fold(ReceiptState(), [operation(3, "delete")]), ReceiptKey(str(UUID(int=2)), 1)
    with closing(CollectionDatabase.create(tmp_path / "a")) as database:
        ledger = database.ledger
        with database.transaction():
            ledger.write({KEY: state, other: state}, {"run-1": RunOutcome(rows=2)})
        with database.transaction():
            ledger.write({other: removed}, {"run-0": RunOutcome(rows=0, superseded_by=1)})
        unknown = ReceiptKey(str(UUID(int=3)), 1)
        expected = {KEY: LedgerEntry(state=state), other: LedgerEntry(state=removed)}
        assert ledger.entries([KEY, unknown]) == {KEY: expected[KEY], unknown: LedgerEntry()}
        assert dict(ledger.all_entries()) == expected
        assert ledger.outcomes(["run-0", "run-1", "run-9"]) == {
            "run-0": RunOutcome(rows=0, superseded_by=1),
            "run-1": RunOutcome(rows=2),
        }
        assert ledger.run_ids() == {"run-0", "run-1"}


@given(OPERATIONS)
def test_a_state_is_read_back_from_what_is_written_of_it(arrived):
    state = fold(ReceiptState(), arrived)
    assert decode_state(encode_state(state)) == state
