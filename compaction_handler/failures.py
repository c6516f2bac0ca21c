"""What an error of a merge means: for the runs, for the working copy, and as an error of the pipeline."""

from pathlib import Path

from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, RetryableError
from pipeline.storage import full_disk, is_for_lack_of_room, storage_error

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
"""After these the working copy is neither used nor published; after other errors of the pipeline it is sound."""
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


def broken_merge(error: Exception, collection: CollectionName, place: Path) -> RetryableError:
    """The pipeline's error for an unforeseen one.

    Args:
        error: anything that is no error of the pipeline.
        collection: the collection.
        place: the directory of working copies.

    Returns:
        STORAGE_FULL or SERVICE_UNAVAILABLE when the disk is to blame, else MERGE_BROKEN.
    """
    if isinstance(error, OSError):
        return storage_error(error, place)
    if is_for_lack_of_room(error, place):
        return full_disk(error, place)
    return RetryableError(
        ErrorCode.MERGE_BROKEN,
        value=f"{collection}: {type(error).__name__}: {error}",
        rule="a merge ends with a sound working copy",
        way_out="the working copy is discarded and the runs are merged again, each alone if it was there before",
    )
