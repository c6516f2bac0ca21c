"""Folding and planning, without Chroma; a failure lets the order of arrival decide what a receipt is."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
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
from pipeline.collections.layout import VERSIONS_KEPT, Pointer, expired_versions, replaced_by_next, version_name
from pipeline.collections.ledger import Holding, Ledger, Outcome, receipt_of_vector
from pipeline.collections.receipts import Operation, Order, ReceiptKey, ReceiptState, fold
from pipeline.contracts.identifiers import line_vector_id
from tests.compaction.test_operations import operation as recorded

KEY = ReceiptKey(str(UUID(int=1)), 1)
START = datetime(2026, 1, 2, tzinfo=UTC)


def operation(version: int, kind: str, **changes: str) -> Operation:
    return Operation(order=Order(version, "", f"run-{version}"), kind=kind, changes=changes)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["upsert", "delete", "metadata"]), st.sampled_from(["A", "B"])), min_size=1, max_size=8
).map(lambda drawn: [operation(place, kind, field=value) for place, (kind, value) in enumerate(drawn, 1)])


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
    assert state.decided_by.run_id == "run-3"
    assert state.changes == {"merchant_name": "late"}


def test_an_upsert_brings_its_corrections_with_it_and_newer_ones_go_on_top():
    upsert = operation(3, "upsert", merchant_name="A", page="1")
    assert fold(ReceiptState(), [upsert]).changes == {"merchant_name": "A", "page": "1"}
    state = fold(ReceiptState(), [operation(2, "metadata", page="0"), operation(4, "metadata", page="2"), upsert])
    assert state.changes == {"merchant_name": "A", "page": "2"}
    made = plan(Holding(), upsert, **{"run-3": ("a",)})
    assert made.changes == {KEY: upsert.changes}


def plan(held: Holding, *arrived: Operation, **deltas: tuple[str, ...]):
    return make_plan({KEY: held}, {KEY: list(arrived)}, {name.replace("_", "-"): ids for name, ids in deltas.items()})


def test_a_delete_and_a_new_insert_in_one_batch_keep_the_fresh_rows_whichever_comes_first():
    held = Holding(state=fold(ReceiptState(), [operation(1, "upsert")]), identifiers=("a", "b"))
    for arrived in ([operation(2, "delete"), operation(3, "upsert")], [operation(3, "upsert"), operation(2, "delete")]):
        made = plan(held, *arrived, run_3=("b", "c"))
        assert set(made.upserts) == {KEY}
        assert made.removals == ["a"]
        assert made.holdings[KEY].identifiers == ("b", "c")
        assert made.outcomes == {"run-2": Outcome(rows=0, superseded_by=3), "run-3": Outcome(rows=2)}


def test_the_surplus_rows_of_a_longer_old_version_are_removed():
    held = Holding(state=fold(ReceiptState(), [operation(1, "upsert")]), identifiers=("a", "b", "c"))
    assert plan(held, operation(2, "upsert"), run_2=("a",)).removals == ["b", "c"]


def test_a_superseded_delta_is_never_read():
    arrived = {KEY: [operation(1, "upsert"), operation(2, "upsert")]}
    assert deltas_needed({KEY: Holding()}, arrived) == {"run-2"}
    held = Holding(state=fold(ReceiptState(), [operation(3, "delete")]))
    assert deltas_needed({KEY: held}, arrived) == set()


def test_a_late_upsert_is_skipped_and_says_by_what_it_was_superseded():
    held = Holding(state=fold(ReceiptState(), [operation(2, "upsert")]), identifiers=("a",))
    made = plan(held, operation(1, "upsert"))
    assert (made.upserts, made.removals, made.patches) == ({}, [], {})
    assert made.outcomes == {"run-1": Outcome(rows=0, superseded_by=2)}


def test_a_correction_that_arrives_before_its_receipt_waits_for_it():
    early = plan(Holding(), operation(2, "metadata", merchant_name="B"))
    assert early.patches == {}
    late = plan(early.holdings[KEY], operation(1, "upsert"), run_1=("a",))
    assert late.changes == {KEY: {"merchant_name": "B"}}


def test_an_older_correction_does_not_undo_a_newer_one():
    held = Holding(
        state=fold(ReceiptState(), [operation(1, "upsert"), operation(3, "metadata", merchant_name="C")]),
        identifiers=("a",),
    )
    made = plan(held, operation(2, "metadata", merchant_name="B", merchant_source="given"))
    assert made.patches == {"a": {"merchant_name": "C", "merchant_source": "given"}}


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
        digest="",
        published_at=published_at,
        replaced=dict(replaced or {}),
    )


@pytest.mark.parametrize(("seconds", "due"), [(59, False), (60, True)])
def test_a_publication_is_due_when_the_interval_is_over_and_never_before(seconds, due):
    current = pointer("v", published_at=START - timedelta(seconds=seconds))
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


def test_a_ledger_reads_back_what_was_written_and_can_be_rebuilt_from_rows(tmp_path):
    ids = tuple(line_vector_id(UUID(int=1), 1, row) for row in (1, 2))
    state = fold(ReceiptState(), [operation(1, "upsert"), operation(2, "metadata", merchant_name="Æ")])
    with Ledger(tmp_path / "a") as ledger:
        ledger.write({KEY: Holding(state=state, identifiers=ids)}, {"run-1": Outcome(rows=2)})
        ledger.write({}, {"run-0": Outcome(rows=0, superseded_by=1)})
        assert ledger.holdings([KEY]) == {KEY: Holding(state=state, identifiers=ids)}
        assert ledger.outcomes(["run-0", "run-1", "run-9"]) == {
            "run-0": Outcome(rows=0, superseded_by=1),
            "run-1": Outcome(rows=2),
        }
        assert (ledger.rows, list(ledger.identifiers())) == (2, list(ids))
    with Ledger(tmp_path / "b") as ledger:
        ledger.rebuild([(identifier, "run-old") for identifier in (*ids, "strange")])
        assert ledger.rows == 3
        assert set(ledger.identifiers()) == {*ids, "strange"}
        assert ledger.outcomes(["run-old"]) == {"run-old": Outcome(rows=3)}
        assert fold(ledger.holdings([KEY])[KEY].state, [operation(0, "delete")]).decided_by.kind in {"delete", "upsert"}
    assert receipt_of_vector(ids[0]) == KEY
