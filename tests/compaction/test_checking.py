"""The child that judges a copy before it is published; a failure lets a broken one out, or keeps sound ones in."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compaction_handler import checking
from compaction_handler.checking import ChildCheck, Inspection
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.layout import DATABASE_NAME
from pipeline.errors import ErrorCode, RetryableError
from tests.compaction.world import row_id

ROWS = 8


@pytest.fixture
def inspection(tmp_path: Path) -> Iterator[Inspection]:
    copy = WorkingCopy("lines", parent=tmp_path / "work", source=None)
    copy._collection.upsert(
        ids=[row_id(1, row) for row in range(ROWS)],
        embeddings=np.eye(ROWS, dtype=np.float32),
        metadatas=[{"run_id": "old"}] * ROWS,
    )
    copy.close()
    yield Inspection(
        collection="lines",
        directory=str(copy.directory),
        private_directory=str(tmp_path / "private"),
        count=ROWS,
        dimensions=ROWS,
        newest=(row_id(1, 0),),
    )
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


def test_one_child_judges_every_copy_and_a_bad_one_does_not_spoil_it(check, inspection):
    check.run(inspection)
    assert "were written" in rejection(check, replace(inspection, count=ROWS + 1))
    Path(inspection.directory, DATABASE_NAME).rename(Path(inspection.directory, "elsewhere"))
    assert "ended with 1" in rejection(check, inspection)
    Path(inspection.directory, "elsewhere").rename(Path(inspection.directory, DATABASE_NAME))
    check.run(inspection)
    assert check.ready


def test_a_child_that_was_killed_rejects_the_copy_and_says_that_it_is_not_ready(check, inspection):
    os.kill(check._process.pid, signal.SIGKILL)
    check._process.wait()
    assert not check.ready
    rejection(check, inspection)


def test_a_check_that_hangs_is_ended_and_rejects_the_copy(check, inspection, monkeypatch):
    check.run(inspection)
    monkeypatch.setattr(checking, "CHECK_SECONDS", 0.2)
    os.kill(check._process.pid, signal.SIGSTOP)
    rejection(check, inspection)
    assert not check.ready
