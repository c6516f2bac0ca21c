"""Several things broke and a process goes on; a failure means that it never ends, or trusts what it must not."""

import json
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from compaction_handler import publishing
from compaction_handler.lease import Heartbeat, current_pointer, lost_lease
from compaction_handler.merging import CollectionMerger
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.layout import ROWS_NAME, current_key, current_path, version_path
from pipeline.collections.rows import RowTable
from pipeline.collections.versions import read_current
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import RunState
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.runs.repository import RunRepository
from tests.compaction.test_merge import failing, unavailable, without_the_last_row
from tests.compaction.world import MergeWorld, ids
from tests.world import BUCKET, TABLE

LEASE = {"PK": {"S": "COLLECTION#lines"}, "SK": {"S": "LEASE"}}


def published_but_not_in_s3(
    world: MergeWorld, monkeypatch: pytest.MonkeyPatch, reference: RunReference
) -> CollectionMerger:
    merger = world.merger()
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "upload_version", failing(unavailable(), publishing.upload_version, after=False))
        with pytest.raises(RetryableError):
            merger.merge([reference])
    return merger


def database(world: MergeWorld) -> Path:
    current = read_current(world.root, "lines")
    assert current is not None
    return version_path(world.root, "lines", current.version) / ROWS_NAME


def name_suspects(world: MergeWorld, suspects: str) -> None:
    world.dynamodb.update_item(
        TableName=TABLE,
        Key=LEASE,
        UpdateExpression="SET suspects = :suspects",
        ExpressionAttributeValues={":suspects": {"S": suspects}},
    )


def test_a_file_that_is_lost_before_s3_had_it_holds_up_no_process(world, monkeypatch):
    done, waiting = world.run(1), world.run(2)
    world.merger().merge([done])
    merger = published_but_not_in_s3(world, monkeypatch, waiting)
    database(world).unlink()
    for _ in range(3):
        world.moment += timedelta(hours=1)
        with suppress(RetryableError):
            merger.tick()
    assert world.states(done, waiting) == [RunState.COMPLETED] * 2
    assert world.readers() == [ids(1, 2)] * 2


@pytest.mark.parametrize("error", [RuntimeError("the index cannot be read"), KeyboardInterrupt()])
def test_a_copy_that_cannot_be_read_is_left_whatever_else_failed(world, monkeypatch, error):
    merger = world.merger()
    monkeypatch.setattr(publishing, "upload_version", failing(unavailable(), publishing.upload_version, after=False))
    monkeypatch.setattr(WorkingCopy, "reopen", failing(error, WorkingCopy.reopen, after=False))
    with pytest.raises((RetryableError, KeyboardInterrupt)) as caught:
        merger.merge([world.run(1)])
    assert isinstance(caught.value, KeyboardInterrupt) or caught.value.code is ErrorCode.MERGE_BROKEN
    assert merger.copy is None


def test_a_lease_that_is_lost_again_and_again_is_no_receipts_fault(world, monkeypatch):
    merger, reference = world.merger(), world.run(1)
    lost = lost_lease("lines", 1, "no renewal for 61 seconds")
    for _ in range(6):
        with monkeypatch.context() as patch:
            patch.setattr(Heartbeat, "require", failing(lost, Heartbeat.require, after=False))
            with pytest.raises(RetryableError):
                merger.merge([reference])
    assert world.lines(reference).attempts == 0
    merger.merge([reference])
    assert world.states(reference) == [RunState.COMPLETED]


def test_both_versions_on_the_directory_are_damaged_and_s3_has_the_older_one(world, monkeypatch):
    done, waiting = world.run(1), world.run(2)
    world.merger().merge([done])
    older = database(world)
    published_but_not_in_s3(world, monkeypatch, waiting)
    older.unlink()
    database(world).unlink()
    world.merger().merge([waiting])
    assert world.states(done, waiting) == [RunState.COMPLETED] * 2
    assert world.readers() == [ids(1, 2)] * 2


def test_a_damaged_version_comes_back_from_s3_although_nothing_there_names_it(world):
    world.merger().merge([world.run(1)])
    world.s3.delete_object(Bucket=BUCKET, Key=current_key("lines"))
    database(world).unlink()
    world.merger().merge([world.run(2)])
    assert world.readers() == [ids(1, 2)] * 2


def test_a_collection_never_starts_empty_while_s3_has_a_version_that_nothing_names(world):
    done = world.run(1)
    world.merger().merge([done])
    world.s3.delete_object(Bucket=BUCKET, Key=current_key("lines"))
    current_path(world.root, "lines").unlink()
    world.dynamodb.delete_item(TableName=TABLE, Key=LEASE | {"SK": {"S": "CURRENT"}})
    with pytest.raises(PermanentError) as caught:
        world.merger().merge([world.run(2)])
    assert caught.value.code is ErrorCode.SNAPSHOT_MISSING
    assert "nothing names a version of lines" in str(caught.value)


def test_a_copy_that_cannot_be_closed_is_left_once_and_for_all(world, monkeypatch):
    merger, other = world.merger(), world.run(2)
    merger.merge([world.run(1)])
    world.merger().merge([world.run(3)])
    stale = merger.copy
    assert stale is not None
    monkeypatch.setattr(stale, "close", failing(RuntimeError("close"), stale.close, after=True))
    with pytest.raises(RetryableError) as caught:
        merger.merge([other])
    assert caught.value.code is ErrorCode.MERGE_BROKEN
    merger.merge([other])
    assert not stale.directory.exists()
    assert world.readers() == [ids(1, 2, 3)] * 2


def test_suspects_that_another_release_named_hold_up_nobody(world):
    world.merger().merge([world.run(1)])
    name_suspects(world, '[{"run": 1}]')
    world.merger().merge([world.run(2)])
    assert world.readers() == [ids(1, 2)] * 2


def test_suspects_are_named_until_their_attempt_is_counted(world, monkeypatch):
    reference = world.run(1)
    world.merger().merge([world.run(2)])
    name_suspects(world, json.dumps([reference.model_dump(mode="json")]))
    with monkeypatch.context() as patch:
        patch.setattr(RunRepository, "find_all", failing(unavailable(), RunRepository.find_all, after=False))
        with pytest.raises(RetryableError):
            world.merger().merge([reference])
    assert world.lines(reference).attempts == 0
    merger = world.merger()
    for _ in range(2):
        merger.merge([reference])
    assert (world.lines(reference).attempts, world.states(reference)) == (1, [RunState.COMPLETED])


def suspects(world: MergeWorld) -> Any:
    return world.dynamodb.get_item(TableName=TABLE, Key=LEASE)["Item"].get("suspects")


def test_nobody_is_suspected_after_a_merge_that_ended_with_a_word(world, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RowTable, "replace", without_the_last_row)
        with pytest.raises(RetryableError):
            world.merger().merge([world.run(1)])
    assert suspects(world) is None


@pytest.mark.parametrize(
    ("by", "place"),
    [
        ("message", "warm"),
        ("tick", "warm"),
        ("message", "cold"),
        ("tick", "nothing in S3"),
        ("rebuild", "an empty directory"),
    ],
)
@pytest.mark.parametrize("deleted", [("CURRENT",), ("CURRENT", "LEASE")], ids=["the pointer", "pointer and lease"])
def test_a_collection_whose_items_somebody_deleted_goes_on_with_what_current_names(world, by, deleted, place):
    done = world.run(1)
    for _ in range(3):
        merger = world.merger()
        merger.merge([done, world.operation("upsert", 3)])
    for name in deleted:
        world.dynamodb.delete_item(TableName=TABLE, Key=LEASE | {"SK": {"S": name}})
    before = read_current(world.root, "lines")
    assert before is not None
    assert before.fence == 3
    if place == "an empty directory":
        world.settings["collections_directory"] = str(world.path / "new")
    if place == "nothing in S3":
        world.s3.delete_object(Bucket=BUCKET, Key=current_key("lines"))
    world.settings["bootstrap_collections"] = False
    merger = merger if place == "warm" else world.merger()
    if by == "tick":
        merger.tick()
    elif by == "rebuild":
        merger.rebuild(from_deltas=False)
    else:
        merger.merge([])
    pointer = current_pointer(TABLE, world.dynamodb, "lines")
    assert pointer is not None
    assert pointer.version >= before.version
    waiting = world.run(2)
    merger.merge([waiting])
    assert world.states(done, waiting) == [RunState.COMPLETED] * 2
    assert world.readers() == [ids(1, 2, 3)] * 2
    after = read_current(world.root, "lines")
    assert after is not None
    assert after.fence > before.fence


def test_a_pointer_that_an_operator_set_back_is_not_overruled(world):
    world.merger().merge([world.run(1)])
    older = read_current(world.root, "lines")
    assert older is not None
    world.merger().merge([world.run(2)])
    item = {"pointer": {"S": older.model_dump_json()}, "fence": {"N": str(older.fence)}}
    world.dynamodb.put_item(TableName=TABLE, Item=LEASE | {"SK": {"S": "CURRENT"}} | item)
    with pytest.raises(PermanentError) as caught:
        world.merger().merge([world.run(3)])
    assert caught.value.code is ErrorCode.SNAPSHOT_MISSING
