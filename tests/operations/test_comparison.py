"""What counts as missing, surplus or stale, from values alone; a failure is a false alarm or a silent loss."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from ops.reconciling.comparison import EMBED_AGAIN, SURPLUS_DELTA_AGE, Difference, PublishedRows, compare
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import Row
from pipeline.contracts.identifiers import line_vector_id
from pipeline.contracts.run import CollectionProgress, CompactionRun, RunState
from pipeline.deltas import DeltaObject
from tests.compaction.world import DIMENSIONS, MODEL, START
from tests.world import BUCKET

IMAGE, DIGEST = UUID(int=1), "0" * 64
KEY = ReceiptKey(str(IMAGE), 1)
ROWS = [line_vector_id(IMAGE, 1, number) for number in (1, 2)]


def run_id(number: int) -> str:
    return f"{number:032x}"


RUN_1, RUN_2 = run_id(1), run_id(2)


def run(number: int, kind: str = "upsert", state: RunState = RunState.COMPLETED, **fields: object) -> CompactionRun:
    progress = CollectionProgress(state=state, expected_count=2 if kind == "upsert" else 0, delta_sha256=DIGEST)
    return CompactionRun.model_validate(
        {
            "image_id": IMAGE,
            "receipt_id": 1,
            "run_id": run_id(number),
            "receipt_version": number,
            "kind": kind,
            "embedding_model": MODEL,
            "dimensions": DIMENSIONS,
            "delta_bucket": BUCKET,
            "lines": progress,
            "words": progress,
            "merchant_source": "none",
            "consumer": "lambda",
            "created_at": START,
            "updated_at": START,
        }
        | fields
    )


def delta(of: str, sha256: str | None = DIGEST) -> DeltaObject:
    return DeltaObject(run_id=of, sha256=sha256, key=f"lines/delta/{of}/{sha256}.safetensors", written=START)


def look(runs, rows, *, held=None, deltas=None, minutes=1, completed=None, publish_every=0, losses=()):
    """The findings, as difference and repair; what is not told is as it should be."""
    done = {item.run_id for item in runs if item.lines.state is RunState.COMPLETED} if completed is None else completed
    held = done if held is None else held
    findings = compare(
        collection="lines",
        runs=runs,
        completed_before=frozenset(done),
        published=PublishedRows(run_ids=frozenset(held), rows=rows, losses=losses),
        deltas=[delta(item.run_id) for item in runs if item.kind == "upsert"] if deltas is None else deltas,
        now=START + timedelta(minutes=minutes),
        publish_every=timedelta(minutes=publish_every),
    )
    return [(finding.difference, finding.repair) for finding in findings]


def row(identifier: str, receipt: ReceiptKey = KEY, **metadata: Any) -> Row:
    return Row(id=identifier, receipt=receipt, text="text", position=0, metadata=metadata)


def rows(of: str, *identifiers: str, **metadata: Any) -> list[Row]:
    return [row(identifier, image_id=str(IMAGE), run_id=of, **metadata) for identifier in identifiers or ROWS]


AGAIN, DRIVE = "apply the receipt again", "drive the run again"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(([run(1)], rows(RUN_1)), [], id="nothing"),
        pytest.param(([run(1)], rows(RUN_1, ROWS[0])), [(Difference.ROWS_MISSING, AGAIN)], id="a row lost"),
        pytest.param(
            ([run(1)], rows(RUN_1, *ROWS, line_vector_id(IMAGE, 1, 9))),
            [(Difference.ROWS_SURPLUS, AGAIN)],
            id="a row nobody wrote",
        ),
        pytest.param(
            ([run(1), run(2)], [*rows(RUN_2, ROWS[0]), *rows(RUN_1, ROWS[1])]),
            [(Difference.ROWS_STALE, AGAIN)],
            id="a row of the version before",
        ),
        pytest.param(
            ([run(1), run(2, "metadata", changes={"merchant_name": "B"})], rows(RUN_1, merchant_name="A")),
            [(Difference.ROWS_STALE, AGAIN)],
            id="a correction that is not there",
        ),
        pytest.param(
            ([run(1), run(2, "metadata", changes={"merchant_name": "B"})], rows(RUN_1, merchant_name="B")),
            [],
            id="a correction that is there",
        ),
        pytest.param(
            ([run(1), run(2, delta_run_id=RUN_1, changes={"page": 2})], rows(RUN_1, page=2)),
            [],
            id="applied again with its corrections",
        ),
    ],
)
def test_rows_are_held_against_what_the_runs_make_of_the_receipt(arguments, expected):
    assert look(*arguments) == expected


def test_texts_that_the_index_does_not_find_are_one_finding_of_the_collection_with_its_way_out():
    (finding,) = compare(
        collection="lines",
        runs=[run(1)],
        completed_before=frozenset({RUN_1}),
        published=PublishedRows(run_ids=frozenset({RUN_1}), rows=rows(RUN_1), losses=("1 of 2 texts are not found",)),
        deltas=[delta(RUN_1)],
        now=START,
        publish_every=timedelta(0),
    )
    assert (finding.difference, finding.receipt, finding.repair) == (Difference.VECTORS_MISSING, None, None)
    assert (finding.detail, finding.way_out) == ("1 of 2 texts are not found", "receipts rebuild --collection lines")


def test_rows_of_a_removed_receipt_are_surplus():
    assert look([run(1), run(2, "delete")], rows(RUN_1)) == [(Difference.ROWS_SURPLUS, AGAIN)]
    assert look([run(1), run(2, "delete")], []) == []


def test_published_rows_whose_run_is_gone_are_told_and_neither_they_nor_their_delta_are_touched():
    day = SURPLUS_DELTA_AGE / timedelta(minutes=1)
    found = look([], rows(RUN_1), held={RUN_1}, deltas=[delta(RUN_1)], minutes=day + 1)
    assert found == [(Difference.ROWS_SURPLUS, None)]


def test_a_row_of_a_receipt_that_no_run_names_is_told_and_left_to_a_person():
    strange = row(line_vector_id(UUID(int=9), 1, 1), ReceiptKey(str(UUID(int=9)), 1))
    assert look([run(1)], [*rows(RUN_1), strange]) == [(Difference.ROWS_SURPLUS, None)]


def test_a_completed_run_that_the_version_does_not_know_is_told():
    assert look([run(1), run(2)], rows(RUN_1), held={RUN_1}) == [(Difference.RUN_NOT_HELD, AGAIN)]


def test_a_run_completed_while_the_version_was_opened_is_not_expected_in_it():
    assert look([run(1), run(2)], rows(RUN_1), completed={RUN_1}, held={RUN_1}) == []


def test_a_version_that_was_never_published_is_missed_by_every_completed_run():
    findings = compare(
        collection="lines",
        runs=[run(1)],
        completed_before=frozenset({RUN_1}),
        published=None,
        deltas=[delta(RUN_1)],
        now=START,
        publish_every=timedelta(0),
    )
    assert [finding.difference for finding in findings] == [Difference.RUN_NOT_HELD]


@pytest.mark.parametrize(
    ("state", "minutes", "deltas", "expected"),
    [
        (RunState.PENDING, 14, None, []),
        (RunState.PENDING, 16, None, [(Difference.RUN_STUCK, DRIVE)]),
        (RunState.MERGED, 16, None, [(Difference.RUN_STUCK, DRIVE)]),
        (RunState.FAILED, 0, None, [(Difference.RUN_FAILED, DRIVE)]),
        (RunState.FAILED, 0, [], [(Difference.RUN_FAILED, None)]),
        (RunState.PENDING, 0, [], [(Difference.DELTA_MISSING, None)]),
    ],
)
def test_a_run_that_is_not_completed_is_judged_by_its_age_and_its_delta(state, minutes, deltas, expected):
    assert look([run(1, state=state)], [], minutes=minutes, deltas=deltas) == expected


def test_a_run_that_waits_for_its_publication_is_not_stuck():
    assert look([run(1, state=RunState.MERGED)], [], minutes=60, publish_every=60) == []
    assert look([run(1, state=RunState.MERGED)], [], minutes=80, publish_every=60) == [(Difference.RUN_STUCK, DRIVE)]


def test_a_failed_run_that_something_newer_outdates_can_be_driven_again_without_its_delta():
    runs = [run(1, state=RunState.FAILED), run(2)]
    assert look(runs, rows(RUN_2), deltas=[delta(RUN_2)]) == [(Difference.RUN_FAILED, DRIVE)]


@pytest.mark.parametrize("code", ["DELTA_INVALID", "OBJECT_CHANGED"])
def test_a_failure_by_a_bad_delta_says_how_to_embed_anew(code):
    broken = run(1, state=RunState.FAILED)
    broken = broken.model_copy(update={"lines": broken.lines.model_copy(update={"error": f"{code}: why"})})
    (finding,) = compare(
        collection="lines",
        runs=[broken],
        completed_before=frozenset(),
        published=None,
        deltas=[delta(RUN_1)],
        now=START,
        publish_every=timedelta(0),
    )
    assert (finding.repair, finding.detail) == (DRIVE, f"{code}: why")
    assert finding.way_out == EMBED_AGAIN


def test_rows_are_not_repaired_while_something_of_the_receipt_is_on_its_way():
    assert look([run(1), run(2, state=RunState.PENDING)], rows(RUN_1, ROWS[0])) == [(Difference.ROWS_MISSING, None)]


def test_rows_whose_delta_has_expired_are_not_promised_a_repair():
    assert look([run(1)], rows(RUN_1, ROWS[0]), deltas=[]) == [(Difference.ROWS_MISSING, None)]


def test_a_delta_of_no_run_is_surplus_when_it_is_old_enough():
    day = SURPLUS_DELTA_AGE / timedelta(minutes=1)
    deltas = [delta(RUN_1), delta("interrupted")]
    assert look([run(1)], rows(RUN_1), deltas=deltas, minutes=day) == []
    assert look([run(1)], rows(RUN_1), deltas=deltas, minutes=day + 1) == [
        (Difference.DELTA_SURPLUS, "delete the delta")
    ]


@pytest.mark.parametrize(
    ("stored", "surplus"),
    [
        ([delta(RUN_1), delta(RUN_1, "1" * 64)], 1),
        ([delta(RUN_1), delta(RUN_1, None)], 1),
        ([delta(RUN_1, None)], 0),
    ],
    ids=["another digest", "version 1 beside the recorded digest", "version 1 alone"],
)
def test_an_object_that_its_run_does_not_read_is_surplus(stored, surplus):
    day = SURPLUS_DELTA_AGE / timedelta(minutes=1)
    found = look([run(1)], rows(RUN_1), deltas=stored, minutes=day + 1)
    assert found == [(Difference.DELTA_SURPLUS, "delete the delta")] * surplus


def test_a_delta_with_another_digest_is_no_delta_of_the_run():
    found = look([run(1, state=RunState.PENDING)], [], deltas=[delta(RUN_1, "1" * 64)])
    assert found == [(Difference.DELTA_MISSING, None)]
