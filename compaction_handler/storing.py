"""Storing versions: into a directory by rename, into S3 by verified objects, and removing what has expired from both.

A version becomes visible only whole. Who may move the pointer is decided by the fence (``lease.py``); here ``CURRENT``
is only kept from going backwards. What readers need as well is in ``pipeline/collections/versions.py``.
"""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.collections.files import copy_file, not_plain
from pipeline.collections.layout import (
    MANIFEST_NAME,
    MISSED_NAME,
    VERSIONS_KEPT,
    Pointer,
    current_key,
    current_path,
    encode_manifest,
    expired_versions,
    version_key,
    version_path,
    versions_prefix,
)
from pipeline.collections.private import LOCK_NAME
from pipeline.collections.versions import files_of, parse_pointer, read_current, require_version
from pipeline.contracts.identifiers import CollectionName, sha256_hex
from pipeline.errors import ErrorCode, RetryableError
from pipeline.files import PARTIAL_SUFFIX, fsync, replace_file
from pipeline.objects import ObjectStore
from pipeline.storage import writing_to

LOCK_TRIES, LOCK_WAIT_SECONDS = 50, 0.1
"""A pointer file is locked for milliseconds. A process that holds it longer hangs; the next merge mends the file."""
REPLACE_TRIES = 5
OF_CHECK = frozenset({MISSED_NAME})
"""Files of a version that its check writes; those of a working copy are of the version before."""


def copy_version(
    source: Path,
    root: Path,
    collection: CollectionName,
    version: str,
    checked: Callable[[], Mapping[str, bytes]],
) -> str:
    """Copy a closed working copy to a new version: partial, fsync, rename.

    Args:
        source: the closed directory.
        root: the collections directory.
        collection: the collection.
        version: the new version's name; no other version has it.
        checked: called when the copy is durable and not yet visible; an error leaves no version. Returns the files that
            the version has besides, by name; only they may have the names of ``OF_CHECK``.

    Returns:
        The digest of the version's manifest.

    Raises:
        RetryableError: SNAPSHOT_UNSOUND when there is anything but files and directories in the working copy.
    """
    if (other := not_plain(source)) is not None:
        raise RetryableError(
            ErrorCode.SNAPSHOT_UNSOUND,
            value=f"{other} is a link or a device",
            rule="a working copy holds files and directories alone, so that nothing from elsewhere is published",
            way_out="nothing was published; the working copy is discarded and the runs are merged again",
        )
    target = version_path(root, collection, version)
    partial = target.with_name(target.name + PARTIAL_SUFFIX)
    try:
        partial.mkdir(parents=True)
        with ThreadPoolExecutor(1) as beside:
            digests = {name: copy_file(source / name, partial / name, beside=beside) for name in _files_in(source)}
        for path in partial.rglob("*"):
            fsync(path)
        added = checked()
        manifest = encode_manifest(digests | {name: sha256_hex(content) for name, content in added.items()})
        for name, content in {**added, MANIFEST_NAME: manifest}.items():
            (partial / name).write_bytes(content)
            fsync(partial / name)
        fsync(partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    fsync(target.parent)
    return sha256_hex(manifest)


def upload_version(objects: ObjectStore, bucket: str, collection: CollectionName, pointer: Pointer, root: Path) -> None:
    """Write the files of the version in ``root`` to S3, each checked against its digest, the manifest last.

    Raises:
        PermanentError: SNAPSHOT_MISSING, or SNAPSHOT_CORRUPT when its manifest is not the one pointed at.
        RetryableError: OBJECT_UPLOAD_UNVERIFIED when a file is not what the manifest says; SERVICE_UNAVAILABLE.
    """
    directory = require_version(root, collection, pointer)
    digests = files_of((directory / MANIFEST_NAME).read_bytes(), str(directory))
    for name, digest in [*digests.items(), (MANIFEST_NAME, pointer.digest)]:
        objects.put_file(bucket, version_key(collection, pointer.version, name), directory / name, digest)


def write_current(root: Path, collection: CollectionName, pointer: Pointer) -> bool:
    """Replace the pointer file by an atomic rename after fsync, unless it names a newer version.

    Returns:
        False when the file was left as it is.

    Raises:
        RetryableError: LEASE_HELD when another handler keeps the file locked; STORAGE_FULL, SERVICE_UNAVAILABLE.
    """
    target = current_path(root, collection)
    with writing_to(root), _locked(target.with_name(f"{target.name}.lock"), collection):
        present = read_current(root, collection)
        if present is not None and present.version >= pointer.version:
            return False
        replace_file(target, pointer.model_dump_json(), is_durable=True)
    return True


def write_current_object(objects: ObjectStore, bucket: str, collection: CollectionName, pointer: Pointer) -> bool:
    """Replace the pointer in S3, unless it names a newer version.

    Returns:
        False when the object was left as it is.

    Raises:
        RetryableError: SERVICE_UNAVAILABLE when others kept writing it.
    """
    key = current_key(collection)
    for _ in range(REPLACE_TRIES):
        found = objects.get_tagged(bucket, key)
        if found is not None and parse_pointer(found[0], f"s3://{bucket}/{key}").version >= pointer.version:
            return False
        if objects.replace(bucket, key, pointer.model_dump_json().encode(), None if found is None else found[1]):
            return True
    raise RetryableError(
        ErrorCode.SERVICE_UNAVAILABLE,
        value=f"s3://{bucket}/{key} changed under {REPLACE_TRIES} tries",
        rule="a pointer is replaced only as it was read",
        way_out="the message is delivered again",
    )


def remove_expired(
    root: Path, collection: CollectionName, current: Pointer, now: datetime, kept: timedelta = VERSIONS_KEPT
) -> list[str]:
    """Remove the versions of a directory whose grace is over, and copies that were never finished.

    Returns:
        The names of the removed versions.
    """
    parent = version_path(root, collection, current.version).parent
    written = {path.name: datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in parent.iterdir()}
    for name, moment in written.items():
        if name.endswith(PARTIAL_SUFFIX) and now - moment > VERSIONS_KEPT:
            shutil.rmtree(parent / name, ignore_errors=True)
    versions = {name: moment for name, moment in written.items() if not name.endswith(PARTIAL_SUFFIX)}
    expired = expired_versions(versions, current, now, kept)
    for name in expired:
        # Renamed first: a version is there whole or not at all, also while it is removed.
        doomed = parent / f"{name}.removed{PARTIAL_SUFFIX}"
        (parent / name).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    return expired


def delete_expired(
    objects: ObjectStore,
    bucket: str,
    collection: CollectionName,
    current: Pointer,
    now: datetime,
    *,
    kept: timedelta = VERSIONS_KEPT,
) -> list[str]:
    """Delete the versions in S3 whose grace is over, the manifest of each first.

    Returns:
        The names of the deleted versions.
    """
    keys: dict[str, list[str]] = {}
    published: dict[str, datetime] = {}
    prefix = versions_prefix(collection)
    for key, moment in objects.modification_times(bucket, prefix):
        version = key.removeprefix(prefix).split("/", 1)[0]
        keys.setdefault(version, []).append(key)
        published[version] = max(published.get(version, moment), moment)
    expired = expired_versions(published, current, now, kept)
    for version in expired:
        manifest = version_key(collection, version, MANIFEST_NAME)
        for key in sorted(keys[version], key=lambda key: key != manifest):
            objects.delete(bucket, key)
    return expired


def _files_in(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and path.name not in {MANIFEST_NAME, LOCK_NAME, *OF_CHECK}
    )


@contextmanager
def _locked(path: Path, collection: CollectionName) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The lock is the kernel's (on EFS the server's) and goes with its holder, however that ends.
    with path.open("ab") as file:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_WAIT_SECONDS)
        else:
            raise RetryableError(
                ErrorCode.LEASE_HELD,
                value=f"{path} of collection {collection} is locked",
                rule="a pointer file is replaced by one handler at a time",
                way_out="the message is delivered again; a frozen holder's lock ends with it",
            )
        yield
