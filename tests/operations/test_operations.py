"""Removing, correcting, applying again, and repairs from loss to nothing that differs: real Chroma, AWS is moto.

A failure here is an operator's command that says it worked and did not.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from compaction_handler.working_copy import WorkingCopy
from ops import operations
from ops.console import Output
from ops.reconciling import repair as repairing
from ops.reconciling.comparison import Difference
from ops.reconciling.looking import Reconciliation, reconcile
from ops.reconciling.procedure import run_reconcile
from ops.reconciling.repair import repair
from ops.reporting import states_of
from ops.submitting import UploadedDocument
from ops.target import OperatorError, Target
from ops.waiting import require_effect, wait_for_runs, wait_until_searchable
from pipeline.collections.chroma import ChromaIndex, record_id
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.receipts import ReceiptKey, applied_again
from pipeline.contracts.identifiers import delta_key, run_sort_key
from pipeline.contracts.messages import CompactionMessage, RunReference, parse_message
from pipeline.contracts.run import RunState
from pipeline.errors import RetryableError
from tests.compaction.copies import database_of, execute_behind
from tests.compaction.world import DIMENSIONS, MODEL, START, MergeWorld, ids, row_id, spoil
from tests.world import BUCKET, REGION, TABLE, create_queue


@pytest.fixture
def target(world: MergeWorld) -> Target:
    queues = {f"{name}QueueUrl": create_queue(world.sqs, f"{name}.fifo") for name in ("lines", "words")}
    outputs = {
        "tableName": TABLE,
        "artifactsBucket": BUCKET,
        "vectorsBucket": BUCKET,
        "embeddingModel": MODEL,
        "embeddingDimensions": DIMENSIONS,
        "publishEverySeconds": 0,
    }
    return Target(
        outputs=outputs | queues,
        client_options={"region_name": REGION},
        cache_directory=world.path / "search",
    )


class Merges:
    """Both collections' merges, as the queues and ticks would drive them."""

    def __init__(self, world: MergeWorld) -> None:
        self.handler = world.process()

    def __call__(self, *references: RunReference) -> None:
        for merger in self.handler.mergers.values():
            merger.merge(references)

    def close(self) -> None:
        for merger in self.handler.mergers.values():
            merger.close()


@pytest.fixture
def merge(world: MergeWorld) -> Iterator[Merges]:
    world.moment = datetime.now(UTC)
    merges = Merges(world)
    yield merges
    merges.close()


def key(number: int) -> ReceiptKey:
    return ReceiptKey(str(UUID(int=number)), 1)


def published(world: MergeWorld) -> dict[str, dict]:
    world.processes += 1
    source = SnapshotSource.from_directory(
        "lines", collections_directory=world.root, private_directory=world.path / f"reader-{world.processes}"
    )
    opened = source.refresh()
    rows = {} if opened is None else {row.id: row.metadata for row in opened.rows()}
    source.close()
    return rows


def differences(*found: Reconciliation) -> list[Difference]:
    return [finding.difference for item in found for finding in item.findings]


def both(target: Target) -> list[Reconciliation]:
    return [reconcile(target, "lines"), reconcile(target, "words")]


@pytest.mark.parametrize("name", ["S" * 1_001, "SHOP\uffff"])
def test_a_merchants_name_that_no_upload_could_have_is_refused(target, name):
    with pytest.raises(OperatorError, match="MERCHANT_INVALID"):
        operations.correct(target, key(1), name)


def test_a_removed_receipt_is_gone_and_a_corrected_one_has_its_merchant(world, target, merge):
    merge(world.run(1), world.run(2))
    removal = operations.remove(target, key(1))
    correction = operations.correct(target, key(2), "  Å & Sons ")
    merge(removal, correction)
    rows = published(world)
    assert sorted(rows) == ids(2)
    assert {(row["merchant_name"], row["merchant_source"]) for row in rows.values()} == {("Å & Sons", "given")}
    assert differences(*both(target)) == []


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda target: operations.remove(target, key(9)), "RECEIPT_UNKNOWN"),
        (lambda target: operations.correct(target, key(9), "A"), "RECEIPT_UNKNOWN"),
        (lambda target: operations.correct(target, key(1), " "), "MERCHANT_EMPTY"),
        (lambda target: operations.correct(target, key(2), "A"), "RECEIPT_REMOVED"),
        (lambda target: operations.remove(target, key(2)), "RECEIPT_REMOVED"),
    ],
)
def test_an_operation_that_would_do_nothing_is_refused(world, target, act, code):
    world.run(1)
    world.run(2)
    operations.remove(target, key(2))
    with pytest.raises(OperatorError) as caught:
        act(target)
    assert caught.value.code == code


def test_an_upload_is_searchable_when_the_receipt_is_what_was_uploaded_and_not_before(world, target, merge):
    def is_searchable(reference: RunReference) -> bool:
        document = UploadedDocument(name="", key="", runs=(reference,))
        return wait_until_searchable(target, [document], timeout_seconds=0.01).is_complete

    first = world.run(1)
    assert not is_searchable(first)
    merge(first)
    assert is_searchable(first)
    merge(operations.correct(target, key(1), "A"))
    assert is_searchable(first)
    merge(world.operation("upsert", 1, rows=3))
    assert not is_searchable(first)
    removal = operations.remove(target, key(1))
    merge(removal)
    run = world.runs.find(first)
    again = applied_again(run, run_id="a" * 32, changes={}, consumer="lambda", moment=datetime.now(UTC))
    again = again.model_copy(update={"uploaded_at": datetime.now(UTC) + timedelta(minutes=1)})
    world.runs.record(again)
    assert not is_searchable(first)
    merge(again.reference)
    assert is_searchable(first)
    assert sorted(published(world)) == ids(1)


def test_rows_that_a_merge_lost_are_found_and_brought_back_with_their_correction(world, target, merge, monkeypatch):
    """Incident 7: 13,223 of 62,455 vectors were present, and the run reported success."""
    merge(world.run(1), world.run(2))
    merge(operations.correct(target, key(1), "A"))
    apply = WorkingCopy.apply

    def losing(copy: WorkingCopy, *arguments: Any) -> None:
        apply(copy, *arguments)
        database = database_of(copy)
        with database.transaction():
            execute_behind(database, "DELETE FROM rows WHERE receipt = 1 AND line_id = 1")
            execute_behind(database, "UPDATE receipts SET rows = 1 WHERE receipt = 1")

    monkeypatch.setattr(WorkingCopy, "apply", losing)
    merge(world.run(3))
    monkeypatch.undo()
    found = both(target)
    assert differences(*found) == [Difference.ROWS_MISSING] * 2
    assert {finding.detail for item in found for finding in item.findings} == {"1 of 2 rows"}
    repaired = repair(target, found)
    assert len(repaired.runs) == 1
    merge(*repaired.runs)
    assert differences(*both(target)) == []
    rows = published(world)
    assert sorted(rows) == ids(1, 2, 3)
    assert {rows[identifier]["merchant_name"] for identifier in ids(1)} == {"A"}


def test_texts_that_the_published_index_does_not_find_are_told_with_the_way_out(world, target, merge, monkeypatch):
    texts = [f"text {number}" for number in range(9)]
    merge(world.operation("upsert", 1, rows=9, texts=texts))
    add = ChromaIndex.add

    def losing(index: ChromaIndex, texts: Sequence[str], *arguments: Any) -> None:
        add(index, texts, *arguments)
        index.collection.delete(ids=[record_id(texts[0])])

    monkeypatch.setattr(ChromaIndex, "add", losing)
    monkeypatch.setattr("tests.compaction.world.CheckInProcess.run", lambda *_: ())
    merge(world.operation("upsert", 2, rows=1, texts=["another"]))
    monkeypatch.undo()
    found = both(target)
    # Too many of ten, and the version names none.
    assert differences(*found) == [Difference.VECTORS_MISSING] * 4
    assert {(finding.receipt, finding.repair, finding.way_out) for item in found for finding in item.findings} == {
        (None, None, f"receipts rebuild --collection {name}") for name in ("lines", "words")
    }
    assert repair(target, found).runs == ()


def test_texts_that_the_version_names_as_missed_are_counted_and_no_difference(world, target, merge, monkeypatch):
    texts = [f"text {number}" for number in range(60)]
    nearest = ChromaIndex.nearest

    def losing(index: ChromaIndex, vectors: Any, limit: int) -> Any:
        answers = nearest(index, vectors, limit + 1)
        return [[found for found in answer if found[0] != record_id("text 7")][:limit] for answer in answers]

    monkeypatch.setattr(ChromaIndex, "nearest", losing)
    merge(world.operation("upsert", 1, rows=60, texts=texts))
    found = both(target)
    assert differences(*found) == []
    assert [item.missed for item in found] == [1, 1]


def test_what_is_missed_and_not_named_is_not_said_to_be_ranked(world, target, merge, monkeypatch):
    merge(world.operation("upsert", 1, rows=60, texts=[f"text {number}" for number in range(60)]))
    nearest = ChromaIndex.nearest

    def losing(index: ChromaIndex, vectors: Any, limit: int) -> Any:
        answers = nearest(index, vectors, limit + 1)
        return [[found for found in answer if found[0] != record_id("text 7")][:limit] for answer in answers]

    monkeypatch.setattr(ChromaIndex, "nearest", losing)
    found = both(target)
    assert differences(*found) == [Difference.VECTORS_MISSING] * 2
    assert [item.missed for item in found] == [0, 0]


def test_rows_that_nobody_accounts_for_are_found_and_removed(world, target, merge, monkeypatch):
    merge(world.run(1))
    apply = WorkingCopy.apply

    def adding(copy: WorkingCopy, *arguments: Any) -> None:
        apply(copy, *arguments)
        database = database_of(copy)
        with database.transaction():
            for number in (1, 7):
                execute_behind(
                    database,
                    "INSERT OR IGNORE INTO receipts (image_id, receipt_id) VALUES (?, 1)",
                    str(UUID(int=number)),
                )
                execute_behind(
                    database,
                    "INSERT INTO rows (receipt, line_id, word_id, text_id) "
                    "SELECT receipt, 6, 0, 1 FROM receipts WHERE image_id = ?",
                    str(UUID(int=number)),
                )
            execute_behind(
                database, "UPDATE receipts SET rows = (SELECT COUNT(*) FROM rows WHERE rows.receipt = receipts.receipt)"
            )

    monkeypatch.setattr(WorkingCopy, "apply", adding)
    merge(world.run(2))
    monkeypatch.undo()
    found = both(target)
    assert differences(*found) == [Difference.ROWS_SURPLUS] * 4
    repaired = repair(target, found)
    assert len(repaired.runs) == 1
    merge(*repaired.runs)
    left = both(target)
    # Of a receipt without any run, which is for a person to decide.
    assert [(finding.difference, finding.repair) for item in left for finding in item.findings] == [
        (Difference.ROWS_SURPLUS, None)
    ] * 2
    assert sorted(published(world)) == sorted([*ids(1, 2), row_id(7, 5)])


def test_a_version_that_went_back_is_found_and_what_it_lost_applied_again(world, target, merge, monkeypatch):
    merge(world.run(1))
    lost = world.run(2)
    merge(lost)
    first = world.run(1).run_id
    monkeypatch.setattr("pipeline.collections.ledger.Ledger.run_ids", lambda _: {first})
    found = both(target)
    assert differences(*found) == [Difference.RUN_NOT_HELD] * 2
    monkeypatch.undo()
    repaired = repair(target, found)
    merge(*repaired.runs)
    assert differences(*both(target)) == []


def test_a_failed_run_is_driven_again_with_its_attempts_forgotten(world, target, merge):
    reference = world.run(1)
    key_of_delta = world.delta_key(reference)
    content = world.s3.get_object(Bucket=BUCKET, Key=key_of_delta)["Body"].read()
    world.s3.put_object(Bucket=BUCKET, Key=key_of_delta, Body=b"truncated")
    merge(reference)
    world.s3.put_object(Bucket=BUCKET, Key=key_of_delta, Body=content)
    found = both(target)
    assert differences(*found) == [Difference.RUN_FAILED]
    repaired = repair(target, found)
    assert repaired.runs == (reference,)
    assert world.lines(reference).attempts == 0
    assert world.states(reference) == [RunState.PENDING]
    (message,) = target.sqs.receive_message(QueueUrl=target.outputs["linesQueueUrl"])["Messages"]
    assert parse_message(message["Body"], CompactionMessage).runs == (reference,)
    merge(reference)
    assert differences(*both(target)) == []


def test_a_delta_of_no_run_is_deleted_and_those_of_runs_are_kept(world, target, merge, monkeypatch):
    merge(world.run(1))
    world.s3.put_object(Bucket=BUCKET, Key=delta_key("words", "f" * 32, "f" * 64), Body=b"interrupted")
    monkeypatch.setattr("ops.reconciling.comparison.SURPLUS_DELTA_AGE", timedelta(seconds=-1))
    found = both(target)
    assert differences(*found) == [Difference.DELTA_SURPLUS]
    assert repair(target, found).deltas == 0, "it was written a moment ago"
    monkeypatch.setattr("ops.reconciling.repair.WRITTEN_SINCE", timedelta(seconds=-9))
    assert repair(target, found).deltas == 1
    assert differences(*both(target)) == []
    assert reconcile(target, "words").deltas == 1


def test_a_receipt_that_changed_after_the_look_is_not_set_back(world, target, merge, monkeypatch):
    merge(world.run(1))
    monkeypatch.setattr("pipeline.collections.ledger.Ledger.run_ids", lambda _: set())
    found = both(target)
    monkeypatch.undo()
    apply_again = repairing.apply_again

    def overtaken(target: Target, receipt: ReceiptKey, *known: Any) -> RunReference:
        operations.remove(target, receipt)
        return apply_again(target, receipt, *known)

    monkeypatch.setattr(repairing, "apply_again", overtaken)
    repaired = repair(target, found)
    assert (repaired.runs, repaired.postponed) == ((), (key(1),))


def test_an_item_that_cannot_be_read_is_told_and_stops_nothing(world, target, merge):
    merge(world.run(1))
    spoil(world, world.run(2), version="9.0")
    found = both(target)
    assert differences(*found) == [Difference.RUN_UNREADABLE] * 2
    assert repair(target, found).runs == ()


def test_a_receipt_whose_newest_item_was_deleted_can_still_be_changed_and_repaired(world, target, merge, monkeypatch):
    merge(world.run(1))
    correction = operations.correct(target, key(1), "A")
    merge(correction)
    world.dynamodb.delete_item(
        TableName=TABLE,
        Key={"PK": {"S": f"IMAGE#{correction.image_id}"}, "SK": {"S": run_sort_key(1, correction.run_id)}},
    )
    monkeypatch.setattr("pipeline.collections.ledger.Ledger.run_ids", lambda _: set())
    found = both(target)
    monkeypatch.undo()
    repaired = repair(target, found)
    assert repaired.postponed == ()
    merge(*repaired.runs, operations.correct(target, key(1), "B"))
    assert {row["merchant_name"] for row in published(world).values()} == {"B"}


def test_an_operation_that_something_newer_outdates_is_not_called_done(world, target, merge):
    world.run(1)
    correction = operations.correct(target, key(1), "A")
    newer = world.operation("upsert", 1, uploaded_at=datetime.now(UTC) + timedelta(minutes=1))
    merge(correction, newer)
    result = wait_for_runs(target, [correction], timeout_seconds=1)
    with pytest.raises(OperatorError) as caught:
        require_effect(result)
    assert caught.value.code == "OPERATION_SUPERSEDED"
    require_effect(wait_for_runs(target, [newer], timeout_seconds=1))


def test_an_error_of_the_table_is_no_reason_to_postpone(world, target, merge, monkeypatch):
    merge(world.run(1))
    monkeypatch.setattr("pipeline.collections.ledger.Ledger.run_ids", lambda _: set())
    found = both(target)
    target.dynamodb.delete_table(TableName=TABLE)
    with pytest.raises(RetryableError):
        repair(target, found)


def test_the_command_says_what_was_found_what_was_done_and_what_is_left(world, target, merge, monkeypatch):
    merge(world.run(1))
    monkeypatch.setattr("pipeline.collections.ledger.Ledger.run_ids", lambda _: set())
    document = run_reconcile(Output(as_json=True), target, mend=False, timeout_seconds=0)
    assert [item["difference"] for item in document["findings"]] == ["RUN_NOT_HELD"] * 2
    assert document["findings"] == document["found"]
    assert "repaired" not in document
    document = run_reconcile(Output(as_json=True), target, mend=True, timeout_seconds=0)
    assert len(document["repaired"]["still_waiting"]) == 1
    assert document["findings"]
    assert document["collections"][0] | {"version": ""} == {
        "collection": "lines",
        "version": "",
        "rows": 2,
        "missed": 0,
        "deltas": 1,
        "superseded": 0,
    }


def test_an_upload_whose_message_came_too_late_changes_nothing_and_is_told(world, target, merge):
    newer = world.operation("upsert", 1, rows=3, uploaded_at=START + timedelta(seconds=2))
    merge(newer)
    older = world.operation("upsert", 1, rows=2, uploaded_at=START + timedelta(seconds=1))
    merge(older)
    assert len(published(world)) == 3
    document = run_reconcile(Output(as_json=True), target, mend=False, timeout_seconds=0)
    assert document["findings"] == []
    assert [item["superseded"] for item in document["collections"]] == [1, 1]
    assert states_of(world.runs.find(older)) == ["lines SUPERSEDED", "words SUPERSEDED"]
    assert states_of(world.runs.find(newer)) == ["lines COMPLETED", "words COMPLETED"]
