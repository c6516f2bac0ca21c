"""Published versions as a reader needs them: pointers parsed, versions required, brought from S3 and verified.

Nothing here publishes: ``compaction_handler/storing.py`` does.
"""

import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from pipeline.collections.files import copy_file, not_plain
from pipeline.collections.layout import (
    MANIFEST_NAME,
    Pointer,
    current_key,
    current_path,
    decode_manifest,
    version_key,
    version_path,
    versions_prefix,
)
from pipeline.contracts.identifiers import CollectionName, sha256_hex
from pipeline.errors import ErrorCode, PermanentError
from pipeline.files import PARTIAL_SUFFIX, fsync
from pipeline.objects import ObjectStore
from pipeline.storage import storage_error


def parse_pointer(content: bytes | str, source: str) -> Pointer:
    """Read a pointer, from wherever it is kept.

    Args:
        content: JSON.
        source: where it is from, for the error.

    Raises:
        PermanentError: SNAPSHOT_CORRUPT when it is not one, or names a version that cannot be a directory's name.
    """
    try:
        return Pointer.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "pointer"
        raise corrupt_version(f"{source}: {where}: {fault['msg']}", "CURRENT is a pointer") from error


def read_current(root: Path, collection: CollectionName) -> Pointer | None:
    """The pointer on a directory; None when nothing was ever published there."""
    try:
        content = current_path(root, collection).read_bytes()
    except FileNotFoundError:
        return None
    return parse_pointer(content, str(current_path(root, collection)))


def read_current_object(objects: ObjectStore, bucket: str, collection: CollectionName) -> Pointer | None:
    """The pointer in S3; None when nothing was ever published there."""
    found = objects.get_tagged(bucket, current_key(collection))
    return None if found is None else parse_pointer(found[0], f"s3://{bucket}/{current_key(collection)}")


def require_version(root: Path, collection: CollectionName, pointer: Pointer) -> Path:
    """The directory of the version that a pointer names.

    Raises:
        PermanentError: SNAPSHOT_MISSING, or SNAPSHOT_CORRUPT when its manifest is not the one pointed at, or when there
            is anything but files and directories in it.
    """
    directory = version_path(root, collection, pointer.version)
    require_plain(directory)
    try:
        manifest = (directory / MANIFEST_NAME).read_bytes()
    except FileNotFoundError as error:
        raise missing_version(collection, pointer, str(root)) from error
    if sha256_hex(manifest) != pointer.digest:
        raise corrupt_version(f"{directory} has another manifest", f"the pointer names digest {pointer.digest}")
    return directory


def download_version(
    objects: ObjectStore,
    bucket: str,
    collection: CollectionName,
    pointer: Pointer,
    root: Path,
    *,
    leave_out: tuple[str, ...] = (),
) -> Path:
    """Bring a version from S3 under ``root``, every file verified, whole or not at all; kept when it is there.

    Files whose names begin with one of ``leave_out`` stay in S3; every caller of one ``root`` leaves out the same.

    Raises:
        PermanentError: SNAPSHOT_MISSING when an object is not there, SNAPSHOT_CORRUPT when a digest is another.
        RetryableError: STORAGE_FULL, SERVICE_UNAVAILABLE.
    """
    target = version_path(root, collection, pointer.version)
    require_plain(target)
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        manifest = objects.get_verified(bucket, version_key(collection, pointer.version, MANIFEST_NAME), pointer.digest)
        for name, digest in files_of(manifest, f"s3://{bucket}").items():
            if name.startswith(leave_out):
                continue
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            objects.get_file(bucket, version_key(collection, pointer.version, name), partial / name, digest)
        (partial / MANIFEST_NAME).write_bytes(manifest)
        for path in [*partial.rglob("*"), partial]:
            fsync(path)
        partial.rename(target)
    except PermanentError as error:
        if error.code is ErrorCode.OBJECT_MISSING:
            raise missing_version(collection, pointer, f"s3://{bucket}", error.value) from error
        raise corrupt_version(error.value, error.rule, collection) from error
    except OSError as error:
        # Another process of this host may have brought it first.
        if not target.is_dir():
            raise storage_error(error, root) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def copy_verified(directory: Path, target: Path) -> None:
    """Copy a version's files but its manifest, each checked against its digest, into the directory ``target``.

    Raises:
        PermanentError: SNAPSHOT_CORRUPT when a file is missing or another.
    """
    require_plain(directory)
    for name, digest in files_of((directory / MANIFEST_NAME).read_bytes(), str(directory)).items():
        try:
            actual = copy_file(directory / name, target / name, like=digest)
        except FileNotFoundError as error:
            raise corrupt_version(
                f"{directory / name} is not there", "a version has the files of its manifest"
            ) from error
        if actual != digest:
            raise corrupt_version(f"{directory / name} has SHA-256 {actual}", f"the manifest says {digest}")


def has_versions(objects: ObjectStore, bucket: str, collection: CollectionName) -> bool:
    """Whether S3 has a whole version, whatever CURRENT says: one has its manifest."""
    keys = objects.modification_times(bucket, versions_prefix(collection))
    return any(key.endswith(f"/{MANIFEST_NAME}") for key, _ in keys)


def gaps_in_s3(
    objects: ObjectStore, bucket: str, collection: CollectionName, pointer: Pointer, manifest: bytes
) -> list[str]:
    """The keys of a published version's objects that S3 has lost, or has with another checksum.

    Args:
        objects: S3.
        bucket: the vectors bucket.
        collection: the collection.
        pointer: names the version.
        manifest: the version's, as it is on the directory or was read from S3.

    Raises:
        RetryableError: SERVICE_UNAVAILABLE.
    """
    wanted = {**files_of(manifest, f"s3://{bucket}"), MANIFEST_NAME: pointer.digest}
    keys = {version_key(collection, pointer.version, name): digest for name, digest in wanted.items()}
    return [key for key, digest in keys.items() if not objects.holds(bucket, key, digest)]


def files_of(manifest: bytes, source: str) -> dict[str, str]:
    """The files of a manifest and their digests; SNAPSHOT_CORRUPT when a name or a digest has another form."""
    try:
        return decode_manifest(manifest)
    except ValueError as error:
        raise corrupt_version(f"{source}: {error}", "a manifest names files within its version") from error


def require_plain(directory: Path) -> None:
    """Refuse a version that leads elsewhere; one that is missing is not refused."""
    other = directory if directory.is_file() else not_plain(directory)
    if other is not None:
        raise corrupt_version(
            f"{other} is no file or directory of its own", "a version holds files and directories alone"
        )


def missing_version(collection: CollectionName, pointer: Pointer, place: str, reason: str = "") -> PermanentError:
    """The error of a pointer that names a version which is not there."""
    return PermanentError(
        ErrorCode.SNAPSHOT_MISSING,
        value=f"version {pointer.version} of {collection} is not whole in {place}" + (f": {reason}" if reason else ""),
        rule="CURRENT names a version that is there",
        way_out=f"{_way_out(collection)}; do not start empty",
    )


def corrupt_version(value: str, rule: str, collection: CollectionName | None = None) -> PermanentError:
    """The error of a version, or of a pointer, that is not what was published."""
    return PermanentError(
        ErrorCode.SNAPSHOT_CORRUPT,
        value=value,
        rule=rule,
        way_out="put CURRENT back as it was, or restore the version from S3"
        if collection is None
        else _way_out(collection),
    )


def _way_out(collection: CollectionName) -> str:
    return (
        "put the object back from the bucket's earlier object versions; or publish the collection again: `receipts "
        f"rebuild --collection {collection}`, and where no whole copy is left `receipts rebuild --collection "
        f"{collection} --from-deltas`"
    )
