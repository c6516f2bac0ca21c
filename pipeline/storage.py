"""What an error of a local disk or of EFS means for the work that it stopped. It writes nothing.

A full disk is no run's fault: the work is done again when there is room, and no run or message is given up for it.
"""

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ErrorCode, RetryableError

FREE_BYTES = 64 * 1024 * 1024
"""With less than this left on the local disk, whatever broke is blamed on the disk."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
"""SQLite's primary result codes of a disk that is full or broken (sqlite.org/rescode.html)."""
DISK_WORDS = ("disk is full", "disk full", "no space left on device", "disk i/o error")
"""Chroma passes what SQLite and the system said on as text only."""


def storage_error(error: OSError, place: str | Path) -> RetryableError:
    """The pipeline's error for a disk that refused a write; a full one is the usual reason.

    Args:
        error: what the system said.
        place: the directory that was written to.

    Returns:
        STORAGE_FULL, or SERVICE_UNAVAILABLE when it is not full.
    """
    if error.errno in FULL:
        return full_disk(error, place)
    return RetryableError(
        ErrorCode.SERVICE_UNAVAILABLE,
        value=f"{place}: {error}",
        rule="what is written is written whole or not at all",
        way_out="it is tried again; look at the file system when it keeps failing",
    )


def full_disk(reason: object, place: str | Path) -> RetryableError:
    """STORAGE_FULL for work that ``reason`` stopped in the directory ``place``."""
    return RetryableError(
        ErrorCode.STORAGE_FULL,
        value=f"{place} is full: {reason}",
        rule="what is written is written whole or not at all",
        way_out="it is tried again; enlarge the file system (the merge's local disk is "
        "receipts:merge.ephemeralStorageMb), or remove what does not belong there",
    )


def is_for_lack_of_room(error: Exception, place: Path) -> bool:
    """Whether the disk is to blame for an error: it says so, or there is next to no room left on it.

    Args:
        error: anything.
        place: the directory that was written to.
    """
    if isinstance(error, OSError):
        return error.errno in FULL
    # The primary code is the low byte of an extended one.
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in DISK_CODES:
        return True
    if any(words in str(error).lower() for words in DISK_WORDS):
        return True
    return place.is_dir() and shutil.disk_usage(place).free < FREE_BYTES


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Turn an error of the disk inside the ``with`` block into the pipeline's own, which names the place.

    Raises:
        RetryableError: STORAGE_FULL, SERVICE_UNAVAILABLE.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, place) from error
