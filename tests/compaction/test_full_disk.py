"""Disks that are full, for real where a test may mount one. A failure here gives up sound runs for want of room.

What is the same at every place: nothing is lost, the error is STORAGE_FULL, it counts against no run, and once there is
room the next delivery goes on.
"""

import errno
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from compaction_handler.merging import CollectionMerger
from pipeline import files
from pipeline.collections import private
from pipeline.collections.private import LOCK_NAME, PrivateDirectory
from pipeline.collections.reader import SnapshotSource
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import RunState
from pipeline.errors import ErrorCode, RetryableError
from pipeline.files import PARTIAL_SUFFIX
from pipeline.merchants.resolution import MerchantResolver
from tests.compaction.disks import filled, free, small_disk
from tests.compaction.world import DIMENSIONS, MergeWorld, row_id
from tests.world import BUCKET

TEXTS = 60
MEGABYTE = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 32 * MEGABYTE) as path:
        yield path


def receipt(world: MergeWorld, number: int) -> RunReference:
    """A receipt of texts that no other one has."""
    return world.operation("upsert", number, rows=TEXTS, texts=[f"{number} {row} " * 20 for row in range(TEXTS)])


def published(*numbers: int) -> list[list[str]]:
    """What both readers find then."""
    return [sorted(row_id(number, row) for number in numbers for row in range(TEXTS))] * 2


def refused(merger: CollectionMerger, reference: RunReference) -> RetryableError | None:
    try:
        merger.merge([reference])
    except RetryableError as error:
        return error
    return None


@pytest.mark.parametrize("place", ["working_directory", "collections_directory"])
def test_a_merge_that_runs_out_of_room_anywhere_loses_nothing_and_blames_nobody(world, disk, place):
    world.settings[place] = str(disk / "files")
    done = receipt(world, 1)
    merger = world.merger()
    merger.merge([done])
    full = fitted = 0
    for number, left in enumerate((0, 200_000, 450_000, 3 * MEGABYTE), 2):
        reference = receipt(world, number)
        with filled(disk, left):
            error = refused(merger, reference)
        if error is None:
            fitted += 1
        else:
            full += 1
            assert error.code is ErrorCode.STORAGE_FULL, (left, error)
            assert world.lines(reference).attempts == 0, left
            assert world.states(reference) != [RunState.COMPLETED], left
            merger.merge([reference])
        assert world.states(reference) == [RunState.COMPLETED], left
    assert full >= 2
    assert fitted >= 1
    assert world.readers() == published(*range(1, number + 1))


def test_a_process_that_starts_on_a_full_disk_goes_on_when_there_is_room(world, disk):
    world.settings["working_directory"] = str(disk / "files")
    world.merger().merge([receipt(world, 1)])
    world.close()
    merger, reference = world.merger(), receipt(world, 2)
    for left in (0, 200_000):
        with filled(disk, left):
            error = refused(merger, reference)
        assert error is not None
        assert error.code is ErrorCode.STORAGE_FULL
    merger.merge([reference])
    assert world.lines(reference).attempts == 0
    assert world.readers() == published(1, 2)


def test_what_nobody_reads_any_more_makes_room_for_the_next_version(world, disk):
    world.settings |= {"collections_directory": str(disk / "files"), "versions_kept_seconds": 900}
    # The files are of today.
    world.moment = datetime.now(UTC)
    merger, waiting = world.merger(), receipt(world, 4)
    for number in (1, 2, 3):
        merger.merge([receipt(world, number)])
    with filled(disk, 100_000):
        for _ in range(2):
            # Within its grace every version stays; after it, those that were replaced go.
            error = refused(merger, waiting)
            assert error is not None
            assert error.code is ErrorCode.STORAGE_FULL
            world.moment += timedelta(hours=1)
        merger.merge([waiting])
    assert world.readers() == published(1, 2, 3, 4)


def test_a_pointer_that_finds_no_room_is_written_by_the_next_delivery(world, monkeypatch):
    merger = world.merger()
    merger.merge([receipt(world, 1)])
    original = files.fsync

    def fsync(path: Path) -> None:
        if path.name == f"CURRENT{PARTIAL_SUFFIX}":
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        original(path)

    waiting = receipt(world, 2)
    with monkeypatch.context() as patch:
        patch.setattr(files, "fsync", fsync)
        error = refused(merger, waiting)
    assert error is not None
    assert error.code is ErrorCode.STORAGE_FULL
    assert str(world.root) in str(error)
    assert world.lines(waiting).attempts == 0
    merger.merge([waiting])
    assert world.states(waiting) == [RunState.COMPLETED]
    assert world.readers() == published(1, 2)


def from_s3(world: MergeWorld, cache: Path) -> SnapshotSource:
    return SnapshotSource.from_bucket("lines", s3_client=world.s3, bucket=BUCKET, private_directory=cache)


def test_a_reader_whose_cache_holds_one_version_only_follows_to_the_next(world, disk):
    merger = world.merger()
    merger.merge([receipt(world, 1)])
    with closing(from_s3(world, disk / "cache")) as source:
        before = free(disk)
        first = source.refresh()
        assert first is not None
        size = before - free(disk)
        merger.merge([receipt(world, 2)])
        with filled(disk, size // 2):
            second = source.refresh()
        assert second is not None
        assert second.version > first.version
        assert second.count == 2 * TEXTS


def test_a_receipt_whose_merchant_finds_no_room_says_so_and_the_next_one_is_asked_about(world, disk):
    world.merger().merge([receipt(world, 1)])
    with closing(from_s3(world, disk / "cache")) as source:
        resolver = MerchantResolver(snapshots=source)
        with filled(disk, 0):
            merchant = resolver.resolve([], np.empty((0, DIMENSIONS), dtype=np.float32))
        assert merchant.source == "failed"
        assert "STORAGE_FULL" in (merchant.error or "")
        assert resolver.resolve([], np.empty((0, DIMENSIONS), dtype=np.float32)).source == "none"


def test_a_directory_that_was_left_without_a_lock_keeps_nobody_from_removing_the_others(tmp_path):
    # Room for the disk itself and what was left there.
    with small_disk(tmp_path / "disk", MEGABYTE, files=4) as disk:
        (disk / "1.private").mkdir()
        (disk / "1.private" / LOCK_NAME).touch()
        # Asked first: a tmpfs lists what is newest first.
        (disk / "2.private").mkdir()
        own = PrivateDirectory.create(disk, "lines")
        assert {path.name for path in disk.iterdir()} == {"2.private", own.path.name}
        own.remove()


def test_a_private_directory_that_gets_no_lock_is_not_left_behind(tmp_path, monkeypatch):
    def refuses(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(private.fcntl, "flock", refuses)
    with pytest.raises(OSError, match="No space left"):
        PrivateDirectory.create(tmp_path, "lines")
    assert list(tmp_path.iterdir()) == []
