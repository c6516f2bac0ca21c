"""A version on its way to the disk; a failure publishes what a crash of the machine takes back."""

import errno
from pathlib import Path

import pytest

from compaction_handler import storing
from pipeline.collections import files
from pipeline.collections.layout import MANIFEST_NAME, MISSED_NAME, version_path
from pipeline.contracts.digests import FileDigest
from pipeline.files import PARTIAL_SUFFIX

PIECES = 5


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "SENT_BYTES", files.CHUNK_BYTES)
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "data").write_bytes(b"x" * files.CHUNK_BYTES * PIECES)
    return directory


def test_the_disk_is_at_work_while_a_large_file_is_copied(source, tmp_path, monkeypatch):
    sent: list[int] = []
    monkeypatch.setattr(files.os, "fdatasync", sent.append)
    storing.copy_version(source, tmp_path / "root", "words", "one", dict)
    assert 1 <= len(sent) <= PIECES
    copied = version_path(tmp_path / "root", "words", "one") / "data"
    assert copied.read_bytes() == (source / "data").read_bytes()


def test_an_error_that_the_disk_tells_while_a_file_is_copied_leaves_no_version(source, tmp_path, monkeypatch):
    def refused(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.os, "fdatasync", refused)
    with pytest.raises(OSError, match="Input/output"):
        storing.copy_version(source, tmp_path / "root", "words", "one", dict)
    assert list((tmp_path / "root").rglob("*one*")) == []


def test_a_full_disk_is_told_as_one_whatever_else_the_disk_says(source, tmp_path, monkeypatch):
    def refused(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    class Full(FileDigest):
        def update(self, piece: bytes | bytearray | memoryview) -> None:
            super().update(piece)
            if self.pieces == PIECES - 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.pieces += 1

        pieces = 0

    monkeypatch.setattr(files, "SENT_BYTES", files.CHUNK_BYTES * (PIECES - 1))
    monkeypatch.setattr(files.os, "fdatasync", refused)
    monkeypatch.setattr(files, "FileDigest", Full)
    with pytest.raises(OSError, match="No space"):
        storing.copy_version(source, tmp_path / "root", "words", "one", dict)


def test_a_version_is_durable_before_it_is_visible_what_its_check_adds_included(source, tmp_path, monkeypatch):
    (source / "chroma" / "segment").mkdir(parents=True)
    (source / "chroma" / "segment" / "header.bin").write_bytes(b"h")
    # Of the version before.
    (source / MISSED_NAME).write_bytes(b"old")
    kept: list[tuple[str, bool]] = []
    target = version_path(tmp_path / "root", "words", "one")
    fsync = storing.fsync

    def noted(path: Path) -> None:
        base = target if path.is_relative_to(target) else target.parent
        kept.append((str(path.relative_to(base)), target.exists()))
        fsync(path)

    monkeypatch.setattr(storing, "fsync", noted)
    storing.copy_version(source, tmp_path / "root", "words", "one", lambda: {MISSED_NAME: b"new"})
    assert (target / MISSED_NAME).read_bytes() == b"new"
    partial = f"one{PARTIAL_SUFFIX}"
    below = {f"{partial}/{path.relative_to(target)}" for path in target.rglob("*")}
    assert {name for name, is_visible in kept if not is_visible} == {partial, *below}
    # The names after the files, and the rename after both.
    assert [name for name, _ in kept][-2:] == [partial, "."]
    assert kept[-1] == (".", True)


@pytest.mark.parametrize("name", [MISSED_NAME, MANIFEST_NAME, f"one{PARTIAL_SUFFIX}"])
def test_what_the_disk_does_not_keep_leaves_no_version(source, tmp_path, monkeypatch, name):
    fsync = storing.fsync

    def refused(path: Path) -> None:
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(path)

    monkeypatch.setattr(storing, "fsync", refused)
    with pytest.raises(OSError, match="No space"):
        storing.copy_version(source, tmp_path / "root", "words", "one", lambda: {MISSED_NAME: b"new"})
    assert list((tmp_path / "root").rglob("*one*")) == []
