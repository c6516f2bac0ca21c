"""What an error of a merge means: for the runs, for the working copy, and as an error of the pipeline."""

import shutil
import sqlite3
from pathlib import Path

from compaction_handler.publishing import storage_error
from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, RetryableError

FREE_BYTES = 64 * 1024 * 1024
"""With less than this left on the local disk, whatever broke is blamed on the disk."""
COPY_LOST = frozenset(
    {
        ErrorCode.LEASE_LOST,
        ErrorCode.MERGE_INCOMPLETE,
        ErrorCode.SNAPSHOT_RECALL,
        ErrorCode.SNAPSHOT_UNSOUND,
        # A file of the published version has changed: who starts cold finds that out and restores.
        ErrorCode.OBJECT_UPLOAD_UNVERIFIED,
    }
)
"""After these nobody builds on the working copy or publishes it; after other errors of the pipeline it is sound."""
NO_RUNS_FAULT = frozenset(
    {
        ErrorCode.SERVICE_UNAVAILABLE,
        ErrorCode.STORAGE_FULL,
        ErrorCode.LEASE_HELD,
        ErrorCode.LEASE_LOST,
        ErrorCode.RUN_CONFLICT,
        ErrorCode.OBJECT_UPLOAD_UNVERIFIED,
        ErrorCode.SNAPSHOT_MISSING,
        ErrorCode.SNAPSHOT_CORRUPT,
    }
)
"""Outages, full disks, other processes and damaged versions: no run is given up for them, however long they last."""
NEEDS_A_CONTROL = frozenset({ErrorCode.SNAPSHOT_RECALL, ErrorCode.SNAPSHOT_UNSOUND})
"""A refused publication: the runs are at fault only when the published version without them passes the same check."""
DISK_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
"""SQLite's primary result codes of a disk that is full or broken (sqlite.org/rescode.html)."""
DISK_WORDS = ("disk is full", "disk full", "no space left on device", "disk i/o error")
"""Chroma passes what SQLite and the system said on as text only."""


def broken_merge(error: Exception, collection: CollectionName, place: Path) -> RetryableError:
    """The pipeline's error for one that nobody foresaw.

    Args:
        error: anything that is no error of the pipeline.
        collection: the collection.
        place: the directory of working copies.

    Returns:
        STORAGE_FULL or SERVICE_UNAVAILABLE when the disk is to blame, else MERGE_BROKEN.
    """
    if isinstance(error, OSError):
        return storage_error(error, str(place))
    if _is_of_the_disk(error) or (place.is_dir() and shutil.disk_usage(place).free < FREE_BYTES):
        return RetryableError(
            ErrorCode.STORAGE_FULL,
            value=f"{place} is full: {error}",
            rule="the working copy of a collection fits on the local disk",
            way_out="raise receipts:merge.ephemeralStorageMb",
        )
    return RetryableError(
        ErrorCode.MERGE_BROKEN,
        value=f"{collection}: {type(error).__name__}: {error}",
        rule="a merge ends with a sound working copy",
        way_out="the working copy is discarded and the runs are merged again, each alone if it was there before",
    )


def _is_of_the_disk(error: Exception) -> bool:
    # The primary code is the low byte of an extended one.
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in DISK_CODES:
        return True
    return any(words in str(error).lower() for words in DISK_WORDS)
