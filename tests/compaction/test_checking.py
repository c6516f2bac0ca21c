"""The child that judges a copy before it is published; a failure lets a broken one out, or keeps sound ones in."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compaction_handler import checking
from compaction_handler.checking import ChildCheck
from compaction_handler.soundness import Inspection
from pipeline.collections.layout import DATABASE_NAME, INDEX_NAME
from pipeline.errors import ErrorCode, RetryableError
from tests.compaction.copies import inspection_of, sealed_copy
from tests.compaction.disks import filled, small_disk

ROWS = 8
TAKEN = 300 * 1024 * 1024
needs_linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="memory is taken ahead on Linux only")


@pytest.fixture
def inspection(tmp_path: Path) -> Iterator[Inspection]:
    copy = sealed_copy(tmp_path / "work", [f"text {row}" for row in range(ROWS)], np.eye(ROWS, dtype=np.float32))
    yield inspection_of(copy, tmp_path)
    copy.discard()


@pytest.fixture
def check() -> Iterator[ChildCheck]:
    child = ChildCheck()
    yield child
    child.close()


def rejection(check: ChildCheck, inspection: Inspection) -> str:
    with pytest.raises(RetryableError) as caught:
        check.run(inspection)
    assert caught.value.code is ErrorCode.SNAPSHOT_UNSOUND
    return str(caught.value)


def test_one_child_judges_one_sound_copy_after_the_other(check, inspection):
    check.run(inspection)
    check.run(inspection)
    assert check.ready


def test_a_copy_with_another_number_of_rows_is_rejected_and_the_child_ends_with_it(check, inspection):
    assert "were written" in rejection(check, replace(inspection, rows=ROWS + 1))
    assert not check.ready


def test_a_copy_over_which_the_check_breaks_is_rejected(check, inspection):
    Path(inspection.directory, INDEX_NAME, DATABASE_NAME).unlink()
    assert "ended with 1" in rejection(check, inspection)
    assert not check.ready


def test_a_disk_without_room_for_the_check_is_no_fault_of_the_copy(check, inspection, tmp_path):
    with small_disk(tmp_path / "disk", 8 * 1024 * 1024) as disk:
        elsewhere = replace(inspection, private_directory=str(disk / "private"))
        check.run(elsewhere)
        with filled(disk, 0), pytest.raises(RetryableError) as caught:
            check.run(elsewhere)
        assert caught.value.code is ErrorCode.STORAGE_FULL
        assert str(disk) in str(caught.value)
        check.run(elsewhere)
    assert check.ready


def test_a_child_that_was_killed_rejects_the_copy_and_says_that_it_is_not_ready(check, inspection):
    os.kill(check.process_id, signal.SIGKILL)
    assert eventually(lambda: not check.ready)
    rejection(check, inspection)


def test_a_check_that_hangs_is_ended_and_rejects_the_copy(check, inspection, monkeypatch):
    check.run(inspection)
    monkeypatch.setattr(checking, "CHECK_SECONDS", 0.2)
    os.kill(check.process_id, signal.SIGSTOP)
    rejection(check, inspection)
    assert not check.ready


def forks(process_id: int) -> list[int]:
    path = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def resident(process_id: int) -> int:
    try:
        return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met


@needs_linux
def test_a_fork_has_its_memory_before_it_is_needed_and_keeps_it_for_the_copy(check, inspection):
    for _ in range(2):
        check.expect(TAKEN)
        check.expect(TAKEN)
        assert eventually(lambda: [resident(fork) > TAKEN for fork in forks(check.process_id)] == [True])
        time.sleep(0.2)
        assert [resident(fork) > TAKEN for fork in forks(check.process_id)] == [True]
        check.run(inspection)
        assert eventually(lambda: forks(check.process_id) == [])


def test_a_fork_takes_no_more_than_its_share_of_what_is_there():
    memory = "MemTotal:        4000 kB\nMemAvailable:    2000 kB\n"
    assert checking.affordable(100, memory) == 100
    assert checking.affordable(1 << 50, memory) == 2_000 * 1_024 / 4
    assert checking.affordable(100, "MemTotal:        4000 kB\n") == 0


@needs_linux
def test_a_fork_that_waits_ends_when_the_merge_is_gone(check):
    check.expect(0)
    assert eventually(lambda: len(forks(check.process_id)) == 1)
    (fork,) = forks(check.process_id)
    check._process.stdin.close()
    check._process.stdin = None
    assert check._process.wait(timeout=20) == 0
    assert not Path(f"/proc/{fork}").exists()


@needs_linux
def test_a_child_whose_fork_was_killed_while_it_waited_is_not_ready_and_judges_no_copy(check):
    check.expect(0)
    assert eventually(lambda: len(forks(check.process_id)) == 1)
    assert check.ready
    os.kill(forks(check.process_id)[0], signal.SIGKILL)
    assert eventually(lambda: not check.ready)


@needs_linux
def test_a_fork_that_is_killed_at_the_last_moment_rejects_the_copy(check, inspection):
    check.expect(0)
    assert eventually(lambda: len(forks(check.process_id)) == 1)
    os.kill(forks(check.process_id)[0], signal.SIGKILL)
    assert "ended with -9" in rejection(check, inspection)
    assert not check.ready
