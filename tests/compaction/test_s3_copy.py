"""A published version whose objects in S3 somebody deleted or cut. A failure here publishes over the only whole copy.

Readers of S3 and an operator are told which object it is and which command goes on; the next merge that starts brings
S3 what the directory still has; where nobody has it, nothing is published until the collection is built again.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.collections.layout import MANIFEST_NAME, ROWS_NAME, current_key, version_key
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.versions import read_current
from pipeline.contracts.run import RunState
from pipeline.errors import ErrorCode, PermanentError
from tests.compaction.world import MergeWorld, ids
from tests.world import BUCKET

HARMS = ("a file is deleted", "a file is cut", "the manifest is deleted")
harmed = pytest.mark.parametrize("harm", HARMS)


def do(world: MergeWorld, harm: str) -> str:
    """Harm the version in S3; the key of the object."""
    current = read_current(world.root, "lines")
    assert current is not None
    key = version_key("lines", current.version, MANIFEST_NAME if "manifest" in harm else ROWS_NAME)
    if "deleted" in harm:
        world.s3.delete_object(Bucket=BUCKET, Key=key)
    else:
        content = world.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        world.s3.put_object(Bucket=BUCKET, Key=key, Body=content[:-1], ChecksumAlgorithm="SHA256")
    return key


def stored(world: MergeWorld) -> dict[str, Any]:
    """Every object of the collection's versions, and CURRENT."""
    pages = world.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="lines/versions/")
    found = {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}
    return found | {"CURRENT": world.s3.get_object(Bucket=BUCKET, Key=current_key("lines"))["ETag"]}


def lose_the_directory(world: MergeWorld) -> None:
    shutil.rmtree(world.root / "lines" / "versions")


@harmed
def test_a_reader_is_told_the_object_and_what_writes_it_again(world, tmp_path, harm):
    world.merger().merge([world.run(1)])
    key = do(world, harm)
    source = SnapshotSource.from_bucket("lines", s3_client=world.s3, bucket=BUCKET, private_directory=tmp_path / "r")
    with pytest.raises(PermanentError) as caught:
        source.refresh()
    assert caught.value.code in {ErrorCode.SNAPSHOT_MISSING, ErrorCode.SNAPSHOT_CORRUPT}
    assert key in str(caught.value)
    assert "receipts rebuild --collection lines" in caught.value.way_out
    assert not [path for path in Path(tmp_path / "r").rglob("*") if path.is_file()]


@harmed
def test_the_next_process_brings_s3_what_the_directory_has(world, harm):
    done = world.run(1)
    world.merger().merge([done])
    before = stored(world)
    do(world, harm)
    world.merger().merge([])
    assert stored(world) == before
    assert world.readers() == [ids(1)] * 2


def test_a_version_that_is_whole_in_s3_is_not_written_again(world, monkeypatch):
    world.merger().merge([world.run(1)])
    puts: list[str] = []
    monkeypatch.setattr(type(world.objects), "put_file", lambda *arguments: puts.append(arguments[2]))
    world.merger().merge([])
    assert puts == []


@harmed
def test_a_merge_that_finds_no_whole_copy_publishes_nothing_and_says_how_to_go_on(world, harm):
    done, waiting = world.run(1), world.run(2)
    world.merger().merge([done])
    key = do(world, harm)
    lose_the_directory(world)
    before = stored(world)
    for call in (lambda: world.merger().merge([waiting]), lambda: world.merger().rebuild(from_deltas=False)):
        with pytest.raises(PermanentError) as caught:
            call()
        assert caught.value.code in {ErrorCode.SNAPSHOT_MISSING, ErrorCode.SNAPSHOT_CORRUPT}
        assert key in str(caught.value)
        assert "receipts rebuild --collection lines --from-deltas" in caught.value.way_out
    assert stored(world) == before
    assert (world.states(done, waiting), world.lines(waiting).attempts) == ([RunState.COMPLETED, RunState.PENDING], 0)
    # What it says goes on.
    world.merger().rebuild(from_deltas=True)
    world.merger().merge([waiting])
    assert world.states(done, waiting) == [RunState.COMPLETED] * 2
    assert world.readers() == [ids(1, 2)] * 2


@harmed
def test_an_older_version_in_s3_is_never_taken_instead_of_one_whose_runs_are_completed(world, harm):
    world.merger().merge([world.run(1)])
    world.merger().merge([world.run(2)])
    do(world, harm)
    lose_the_directory(world)
    with pytest.raises(PermanentError):
        world.merger().merge([world.run(3)])
    world.s3.delete_object(Bucket=BUCKET, Key=current_key("lines"))
    with pytest.raises(PermanentError):
        world.merger().merge([world.run(3)])
