"""Copying published versions: into a directory by rename, into S3 by verified objects, and back from S3.

A version becomes visible only whole; who may move the pointer is decided by the fence in stage 3, not here.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from pipeline.collections.layout import (
    MANIFEST_NAME,
    PARTIAL_SUFFIX,
    Pointer,
    current_key,
    current_path,
    encode_manifest,
    version_key,
    version_path,
)
from pipeline.contracts.identifiers import CollectionName, sha256_hex
from pipeline.errors import ErrorCode, PermanentError
from pipeline.objects import ObjectStore


def read_current(root: Path, collection: CollectionName) -> Pointer | None:
    """The pointer on a directory; None when nothing was ever published there."""
    try:
        content = current_path(root, collection).read_bytes()
    except FileNotFoundError:
        return None
    return parse_pointer(content, str(current_path(root, collection)))


def read_current_object(objects: ObjectStore, bucket: str, collection: CollectionName) -> Pointer | None:
    """The pointer in S3; None when nothing was ever published there."""
    try:
        content = objects.get(bucket, current_key(collection))
    except PermanentError as error:
        if error.code is ErrorCode.OBJECT_MISSING:
            return None
        raise
    return parse_pointer(content, f"s3://{bucket}/{current_key(collection)}")


def parse_pointer(content: bytes, source: str) -> Pointer:
    """Read a pointer; SNAPSHOT_CORRUPT when it is not one."""
    try:
        return Pointer.model_validate_json(content)
    except ValidationError as error:
        raise _corrupt(f"{source}: {error}", "CURRENT is a pointer") from error


def copy_version(source: Path, root: Path, collection: CollectionName, version: str) -> str:
    """Copy a closed Chroma directory to a new version: partial, fsync, rename.

    Returns:
        The digest of its manifest.
    """
    target = version_path(root, collection, version)
    partial = target.with_name(target.name + PARTIAL_SUFFIX)
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    manifest = encode_manifest({name: file_sha256(partial / name) for name in _files(partial)})
    (partial / MANIFEST_NAME).write_bytes(manifest)
    for path in [*partial.rglob("*"), partial]:
        _fsync(path)
    partial.rename(target)
    _fsync(target.parent)
    return sha256_hex(manifest)


def write_current(root: Path, collection: CollectionName, pointer: Pointer) -> None:
    """Replace the pointer file by an atomic rename after fsync."""
    target = current_path(root, collection)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + PARTIAL_SUFFIX)
    partial.write_text(pointer.model_dump_json())
    _fsync(partial)
    partial.replace(target)
    _fsync(target.parent)


def upload_version(objects: ObjectStore, bucket: str, root: Path, collection: CollectionName, version: str) -> None:
    """Write a version's files to S3, each verified, the manifest last."""
    directory = version_path(root, collection, version)
    for name in (*_files(directory), MANIFEST_NAME):
        objects.put_verified(bucket, version_key(collection, version, name), (directory / name).read_bytes())


def download_version(
    objects: ObjectStore, bucket: str, collection: CollectionName, pointer: Pointer, root: Path
) -> Path:
    """Bring a version from S3 under ``root``, every file verified, whole or not at all; kept when it is there.

    Raises:
        PermanentError: SNAPSHOT_MISSING when an object is not there, SNAPSHOT_CORRUPT when a digest is another.
    """
    target = version_path(root, collection, pointer.version)
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        manifest = objects.get_verified(bucket, version_key(collection, pointer.version, MANIFEST_NAME), pointer.digest)
        for name, digest in json.loads(manifest)["files"].items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(objects.get_verified(bucket, version_key(collection, pointer.version, name), digest))
    except PermanentError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if error.code is ErrorCode.OBJECT_MISSING:
            raise missing_version(collection, pointer, f"s3://{bucket}") from error
        raise _corrupt(error.value, error.rule) from error
    (partial / MANIFEST_NAME).write_bytes(manifest)
    partial.rename(target)
    return target


def require_version(root: Path, collection: CollectionName, pointer: Pointer) -> Path:
    """The directory of the version that a pointer names.

    Raises:
        PermanentError: SNAPSHOT_MISSING, or SNAPSHOT_CORRUPT when its manifest is not the one pointed at.
    """
    directory = version_path(root, collection, pointer.version)
    try:
        manifest = (directory / MANIFEST_NAME).read_bytes()
    except FileNotFoundError as error:
        raise missing_version(collection, pointer, str(root)) from error
    if sha256_hex(manifest) != pointer.digest:
        raise _corrupt(f"{directory} has another manifest", f"the pointer names digest {pointer.digest}")
    return directory


def missing_version(collection: CollectionName, pointer: Pointer, place: str) -> PermanentError:
    """The error of a pointer that names a version which is not there."""
    return PermanentError(
        ErrorCode.SNAPSHOT_MISSING,
        value=f"version {pointer.version} of {collection} is not in {place}",
        rule="CURRENT names a version that is there",
        way_out="restore the version from S3 or from a backup; do not start empty",
    )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hex digits, in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and path.name != MANIFEST_NAME
    )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _corrupt(value: str, rule: str) -> PermanentError:
    return PermanentError(
        ErrorCode.SNAPSHOT_CORRUPT,
        value=value,
        rule=rule,
        way_out="point CURRENT at the version before, or restore this one from S3",
    )
