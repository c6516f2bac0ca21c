"""Where a merge that starts cold gets its working copy: what the pointer names, what S3 has instead, or nothing.

An empty directory is never taken for an empty collection, and a version of another model is never written to. What the
restored version lacks is PENDING or MERGED: what is MERGED is merged again at once, the rest by its message or a tick.
"""

import logging
import os
import shutil
from pathlib import Path

from compaction_handler.conversion import convert
from compaction_handler.environment import MergeEnvironment
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.layout import LAYOUT, Pointer, version_path
from pipeline.collections.versions import (
    download_version,
    has_versions,
    read_current,
    read_current_object,
    require_version,
)
from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, PermanentError
from pipeline.objects import ObjectStore

logger = logging.getLogger(__name__)

OLD_LAYOUT = 1
"""One record a row; converted when a merge starts cold on it."""


def newest_current(collection: CollectionName, environment: MergeEnvironment, objects: ObjectStore) -> Pointer | None:
    """What CURRENT names, on the directory or in S3, whichever is newer; None when nothing was ever published.

    Raises:
        PermanentError: SNAPSHOT_CORRUPT when one of them is no pointer.
        RetryableError: SERVICE_UNAVAILABLE.
    """
    currents = (
        read_current(Path(environment.collections_directory), collection),
        read_current_object(objects, environment.vectors_bucket, collection),
    )
    return max((current for current in currents if current is not None), key=lambda one: one.version, default=None)


def restore(
    collection: CollectionName, environment: MergeEnvironment, objects: ObjectStore, pointer: Pointer | None
) -> tuple[Pointer | None, WorkingCopy]:
    """A working copy of what was published.

    Args:
        collection: its name.
        environment: of the merge.
        objects: S3.
        pointer: the pointer item; None when nothing was ever published.

    Returns:
        What the copy was made of, older than the pointer when that version was lost before S3 had it, and the copy.

    Raises:
        PermanentError: SNAPSHOT_MISSING, SNAPSHOT_CORRUPT when there is nothing to build upon, DELTA_INCOMPATIBLE.
        RetryableError: SERVICE_UNAVAILABLE.
    """
    root, parent = Path(environment.collections_directory), Path(environment.working_directory)
    named = newest_current(collection, environment, objects)
    newest = "" if named is None else named.version
    bucket = environment.vectors_bucket
    if pointer is None and not newest and environment.bootstrap_collections:
        if has_versions(objects, bucket, collection):
            raise PermanentError(
                ErrorCode.SNAPSHOT_MISSING,
                value=f"nothing names a version of {collection}, and s3://{bucket} has some",
                rule="a collection starts empty only when nothing was ever published",
                way_out="restore the pointer in S3 or in the table; remove the versions when they are not wanted",
            )
        return None, WorkingCopy(collection, parent=parent, dimensions=environment.embedding_dimensions, source=None)
    if pointer is None or pointer.version < newest:
        raise PermanentError(
            ErrorCode.SNAPSHOT_MISSING,
            value=f"the table's pointer of {collection} names {pointer.version if pointer else 'no version'}, "
            f"CURRENT {newest or 'none'}",
            rule="the pointer item is never behind CURRENT, and an empty start is wanted: "
            "receipts:bootstrapCollections",
            way_out="restore the table's pointer, or set receipts:bootstrapCollections for a new stack",
        )
    require_compatible(environment, pointer.model, pointer.dimensions, f"version {pointer.version}")
    try:
        directory = require_version(root, collection, pointer)
        return pointer, _working_copy(collection, pointer, directory, parent)
    except PermanentError as error:
        if error.code not in {ErrorCode.SNAPSHOT_MISSING, ErrorCode.SNAPSHOT_CORRUPT}:
            raise
        logger.warning("a version is not whole on the directory; it comes from S3", extra={"reason": str(error)})
    # Read again: its publisher may have brought it to S3 meanwhile.
    base = _newest_in_s3(objects, bucket, collection, pointer)
    _set_aside(version_path(root, collection, pointer.version))
    try:
        directory = download_version(objects, bucket, collection, base, root)
        return base, _working_copy(collection, base, directory, parent)
    except PermanentError as error:
        if error.code is not ErrorCode.SNAPSHOT_CORRUPT:
            raise
        logger.warning("the older version is not whole on the directory either", extra={"reason": str(error)})
    _set_aside(version_path(root, collection, base.version))
    directory = download_version(objects, bucket, collection, base, root)
    return base, _working_copy(collection, base, directory, parent)


def require_compatible(environment: MergeEnvironment, model: str, dimensions: int, what: str) -> None:
    """Refuse vectors of another model than the collection's.

    Raises:
        PermanentError: DELTA_INCOMPATIBLE.
    """
    expected = (environment.embedding_model, environment.embedding_dimensions)
    if (model, dimensions) != expected:
        raise PermanentError(
            ErrorCode.DELTA_INCOMPATIBLE,
            value=f"{what} is of {model} with {dimensions} dimensions",
            rule=f"the collection is of {expected[0]} with {expected[1]}; models are never mixed",
            way_out="use another stack for another model, or embed all receipts again",
        )


def _working_copy(collection: CollectionName, pointer: Pointer, directory: Path, parent: Path) -> WorkingCopy:
    if pointer.layout == OLD_LAYOUT:
        return convert(collection, directory, parent=parent, dimensions=pointer.dimensions, base=pointer.version)
    if pointer.layout != LAYOUT:
        raise PermanentError(
            ErrorCode.VERSION_UNSUPPORTED,
            value=f"version {pointer.version} of {collection} has layout {pointer.layout}",
            rule=f"this release reads layouts {OLD_LAYOUT} and {LAYOUT}",
            way_out="deploy the release that published it",
        )
    return WorkingCopy(collection, parent=parent, dimensions=pointer.dimensions, source=directory, base=pointer.version)


def _newest_in_s3(objects: ObjectStore, bucket: str, collection: CollectionName, pointer: Pointer) -> Pointer:
    there = read_current_object(objects, bucket, collection)
    if there is None and not has_versions(objects, bucket, collection):
        raise PermanentError(
            ErrorCode.SNAPSHOT_MISSING,
            value=f"version {pointer.version} of {collection} is not whole on the directory; s3://{bucket} has none",
            rule="a version is on the directory or in S3",
            way_out="restore the bucket; when this was the collection's first version, no run of it is COMPLETED: "
            f"delete the item COLLECTION#{collection}, CURRENT of the table and the file CURRENT of the directory, set "
            "receipts:bootstrapCollections, and they are merged again",
        )
    if there is None or there.version >= pointer.version:
        return pointer
    logger.error(
        "a version was lost before S3 had it; its runs are merged again",
        extra={"collection": collection, "lost": pointer.version, "instead": there.version},
    )
    return there


def _set_aside(directory: Path) -> None:
    # A link that leads nowhere is there as well.
    if os.path.lexists(directory):
        damaged = directory.with_name(f"{directory.name}.damaged")
        shutil.rmtree(damaged, ignore_errors=True)
        directory.rename(damaged)
