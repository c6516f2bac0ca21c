"""A small disk for a test, and what fills it: a full one answers as the kernel does."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PIECE = 4_096


@contextmanager
def small_disk(path: Path, size: int, files: int = 1_000) -> Iterator[Path]:
    """A tmpfs of ``size`` bytes and ``files`` files at ``path``; skips the test where nobody may mount one."""
    path.mkdir(parents=True)
    command = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={files}", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        # Lazily: a child that was killed may still be about to close a file.
        subprocess.run(["/bin/umount", "-l", str(path)], check=True)


def free(disk: Path) -> int:
    """Bytes that are free."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


@contextmanager
def filled(disk: Path, left: int) -> Iterator[None]:
    """Leave only about ``left`` bytes of a disk free while the block lasts."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free(disk) - left, PIECE))
    try:
        yield
    finally:
        filler.unlink()
