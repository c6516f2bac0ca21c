"""Directories that belong to one process: views of readers, working copies of merges.

Each carries a lock of the kernel's, which goes with its process however that ends; a directory whose lock is free was
left by a killed one and is removed, never opened.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

LOCK_NAME = "LOCK"
SUFFIX = ".private"


class PrivateDirectory:
    """A new directory of this process. Use ``create``."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, parent: Path, name: str) -> Self:
        """Make one under ``parent`` and remove what killed processes left there."""
        parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(parent)
        while True:
            path = Path(tempfile.mkdtemp(prefix=f"{name}-", suffix=SUFFIX, dir=parent))
            try:
                return cls(path, _lock(path))
            except (BlockingIOError, FileNotFoundError):
                # Another process took it for abandoned before it was locked.
                continue
            except OSError:
                shutil.rmtree(path, ignore_errors=True)
                raise

    def remove(self) -> None:
        """Delete the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove the private directories of processes that were killed.

    Returns:
        What was removed.
    """
    removed = []
    for path in parent.glob(f"*{SUFFIX}"):
        try:
            abandoned = PrivateDirectory(path, _lock(path))
        except OSError:
            # Its owner lives, or it is gone, or a full disk has no room for a lock that it never had.
            continue
        abandoned.remove()
        removed.append(path)
    return removed


def _lock(path: Path) -> int:
    # A descriptor and not a file object: it is held until the process ends, unless the directory is removed before.
    lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(lock)
        raise
    return lock
