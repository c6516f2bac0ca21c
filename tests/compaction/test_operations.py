"""Recording operations; a failure here would apply a receipt's changes in another order than they were made."""

from uuid import UUID

import pytest
from pydantic import ValidationError

from pipeline.contracts.identifiers import sha256_hex
from pipeline.contracts.run import CollectionProgress, CompactionRun
from pipeline.errors import ErrorCode, RetryableError
from pipeline.runs.items import run_from_item, run_to_item
from tests.compaction.world import DIMENSIONS, MODEL, START, MergeWorld
from tests.world import BUCKET, TABLE


def operation(number: int, kind: str = "delete", **fields: object) -> CompactionRun:
    return CompactionRun.model_validate(
        {
            "image_id": UUID(int=1),
            "receipt_id": 1,
            "run_id": sha256_hex(f"operation {number}".encode())[:32],
            "kind": kind,
            "embedding_model": MODEL,
            "dimensions": DIMENSIONS,
            "delta_bucket": BUCKET,
            "lines": CollectionProgress(expected_count=0),
            "words": CollectionProgress(expected_count=0),
            "merchant_source": "none",
            "consumer": "operator",
            "created_at": START,
            "updated_at": START,
        }
        | fields
    )


def versions(world: MergeWorld) -> list[int]:
    items = world.dynamodb.scan(TableName=TABLE)["Items"]
    return sorted(run_from_item(item).receipt_version for item in items if "TYPE" in item)


def test_operations_of_a_receipt_are_numbered_as_they_are_recorded(world):
    assert [world.runs.record(operation(number)) for number in (1, 2, 3)] == [True] * 3
    assert [world.runs.find(operation(number).reference).receipt_version for number in (1, 2, 3)] == [1, 2, 3]


def test_an_operation_that_is_recorded_twice_keeps_its_number_and_uses_up_no_other(world):
    world.runs.record(operation(1))
    assert not world.runs.record(operation(1))
    world.runs.record(operation(2))
    assert versions(world) == [1, 2]


def test_receipts_are_numbered_apart_from_each_other(world):
    world.runs.record(operation(1))
    world.runs.record(operation(2, receipt_id=2))
    assert versions(world) == [1, 1]


def test_two_that_record_at_once_never_get_the_same_number(world, monkeypatch):
    latest = world.runs.latest_version

    def overtaken(*receipt: object) -> int:
        found = latest(*receipt)
        monkeypatch.setattr(world.runs, "latest_version", latest)
        world.runs.record(operation(2))
        return found

    monkeypatch.setattr(world.runs, "latest_version", overtaken)
    assert world.runs.record(operation(1))
    assert [world.runs.find(operation(number).reference).receipt_version for number in (2, 1)] == [1, 2]


def test_a_receipt_that_others_keep_changing_is_tried_again_later(world, monkeypatch):
    world.runs.record(operation(1))
    monkeypatch.setattr(world.runs, "latest_version", lambda *_: 0)
    monkeypatch.setattr("pipeline.runs.repository.time.sleep", lambda _: None)
    with pytest.raises(RetryableError) as caught:
        world.runs.record(operation(2))
    assert caught.value.code is ErrorCode.RUN_CONFLICT


def test_a_correction_reads_back_with_its_types():
    run = operation(1, "metadata", changes={"merchant_name": "Æ", "page": 2, "checked": True, "share": 0.5})
    assert run_from_item(run_to_item(run)) == run
    assert type(run_from_item(run_to_item(run)).changes["checked"]) is bool


def test_a_run_recorded_before_operations_had_versions_is_an_upsert_that_everything_else_is_newer_than(world):
    item = run_to_item(world.runs.find(world.run(1)))
    for name in ("kind", "receipt_version"):
        del item[name]
    run = run_from_item(item)
    assert (run.kind, run.receipt_version, run.changes, run.delta_run_id) == ("upsert", 0, {}, None)


@pytest.mark.parametrize("kind", ["upsert", "metadata"])
def test_an_operation_without_what_its_kind_needs_is_refused(kind):
    with pytest.raises(ValidationError):
        operation(1, kind)
