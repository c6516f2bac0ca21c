"""Copying published versions: into a directory by rename, into S3 by verified objects, and back; files are streamed.

A version becomes visible only whole. Who may move the pointer is decided by the fence in stage 3; here ``CURRENT`` is
only kept from going backwards.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from pipeline.collections.layout import (
    MANIFEST_NAME,
    PARTIAL_SUFFIX,
    VERSIONS_KEPT,
    Pointer,
    current_key,
    current_path,
    decode_manifest,
    encode_manifest,
    expired_versions,
    version_key,
    version_path,
    versions_prefix,
)
from pipeline.collections.private import LOCK_NAME
from pipeline.contracts.digests import FileDigest
from pipeline.contracts.identifiers import CollectionName, sha256_hex
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.objects import ObjectStore
from pipeline.storage import storage_error, writing_to

CHUNK_BYTES = 256 * 1024
"""Bytes of a file in memory at once while it is copied."""
SENT_BYTES = 32 * 1024 * 1024
"""Bytes of a new version after which the disk is told to begin; copying and fsync take a sixth less so (measured)."""
LOCK_TRIES, LOCK_WAIT_SECONDS = 50, 0.1
"""A pointer file is locked for milliseconds; who holds it longer is frozen, and the next handler heals the file."""
REPLACE_TRIES = 5


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


def parse_pointer(content: bytes | str, source: str) -> Pointer:
    """Read a pointer, wherever it stands.

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
        partial = target.with_name(target.name + PARTIAL_SUFFIX)
        partial.write_text(pointer.model_dump_json())
        _fsync(partial)
        partial.replace(target)
        _fsync(target.parent)
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


def copy_version(
    source: Path, root: Path, collection: CollectionName, version: str, before_rename: Callable[[], None]
) -> str:
    """Copy a closed working copy to a new version: partial, fsync, rename.

    Args:
        source: the closed directory.
        root: the collections directory.
        collection: the collection.
        version: the new version's name; nobody else uses it.
        before_rename: called when the copy is durable and not yet visible; an error leaves no version.

    Returns:
        The digest of the version's manifest.

    Raises:
        RetryableError: SNAPSHOT_UNSOUND when there is anything but files and directories in the working copy.
    """
    if (other := _not_plain(source)) is not None:
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
            digests = {name: copy_file(source / name, partial / name, beside=beside) for name in _files(source)}
        manifest = encode_manifest(digests)
        (partial / MANIFEST_NAME).write_bytes(manifest)
        for path in [*partial.rglob("*"), partial]:
            _fsync(path)
        before_rename()
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _fsync(target.parent)
    return sha256_hex(manifest)


def upload_version(objects: ObjectStore, bucket: str, collection: CollectionName, pointer: Pointer, root: Path) -> None:
    """Write the files of the version in ``root`` to S3, each held against its digest, the manifest last.

    Raises:
        PermanentError: SNAPSHOT_MISSING, or SNAPSHOT_CORRUPT when its manifest is not the one pointed at.
        RetryableError: OBJECT_UPLOAD_UNVERIFIED when a file is not what the manifest says; SERVICE_UNAVAILABLE.
    """
    directory = require_version(root, collection, pointer)
    digests = _files_of((directory / MANIFEST_NAME).read_bytes(), str(directory))
    for name, digest in [*digests.items(), (MANIFEST_NAME, pointer.digest)]:
        objects.put_file(bucket, version_key(collection, pointer.version, name), directory / name, digest)


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
    _require_plain(target)
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        manifest = objects.get_verified(bucket, version_key(collection, pointer.version, MANIFEST_NAME), pointer.digest)
        for name, digest in _files_of(manifest, f"s3://{bucket}").items():
            if name.startswith(leave_out):
                continue
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            objects.get_file(bucket, version_key(collection, pointer.version, name), partial / name, digest)
        (partial / MANIFEST_NAME).write_bytes(manifest)
        for path in [*partial.rglob("*"), partial]:
            _fsync(path)
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


def require_version(root: Path, collection: CollectionName, pointer: Pointer) -> Path:
    """The directory of the version that a pointer names.

    Raises:
        PermanentError: SNAPSHOT_MISSING, or SNAPSHOT_CORRUPT when its manifest is not the one pointed at, or when there
            is anything but files and directories in it.
    """
    directory = version_path(root, collection, pointer.version)
    _require_plain(directory)
    try:
        manifest = (directory / MANIFEST_NAME).read_bytes()
    except FileNotFoundError as error:
        raise missing_version(collection, pointer, str(root)) from error
    if sha256_hex(manifest) != pointer.digest:
        raise corrupt_version(f"{directory} has another manifest", f"the pointer names digest {pointer.digest}")
    return directory


def copy_verified(directory: Path, target: Path) -> None:
    """Copy a version's files but its manifest, each held against its digest, into the directory ``target``.

    Raises:
        PermanentError: SNAPSHOT_CORRUPT when a file is missing or another.
    """
    _require_plain(directory)
    for name, digest in _files_of((directory / MANIFEST_NAME).read_bytes(), str(directory)).items():
        try:
            actual = copy_file(directory / name, target / name, like=digest)
        except FileNotFoundError as error:
            raise corrupt_version(
                f"{directory / name} is not there", "a version has the files of its manifest"
            ) from error
        if actual != digest:
            raise corrupt_version(f"{directory / name} has SHA-256 {actual}", f"the manifest says {digest}")


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


def has_versions(objects: ObjectStore, bucket: str, collection: CollectionName) -> bool:
    """Whether S3 has a whole version, whatever CURRENT says: one has its manifest."""
    keys = objects.modification_times(bucket, versions_prefix(collection))
    return any(key.endswith(f"/{MANIFEST_NAME}") for key, _ in keys)


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
    wanted = {**_files_of(manifest, f"s3://{bucket}"), MANIFEST_NAME: pointer.digest}
    keys = {version_key(collection, pointer.version, name): digest for name, digest in wanted.items()}
    return [key for key, digest in keys.items() if not objects.holds(bucket, key, digest)]


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


def copy_file(source: Path, target: Path, *, like: str | None = None, beside: Executor | None = None) -> str:
    """Copy a file in bounded memory.

    Args:
        source: the file.
        target: where to; its directory is made.
        like: a digest that the answer is to be compared with.
        beside: sends what is written to the disk while the copying goes on, so that a later fsync finds little left.

    Returns:
        The digest of what was read (``FileDigest``).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, buffer = FileDigest(like), memoryview(bytearray(CHUNK_BYTES))
    unsent, sending = 0, None
    with open(source, "rb", buffering=0, opener=_open_no_link) as reading, target.open("wb") as writing:
        try:
            while count := reading.readinto(buffer):
                digest.update(buffer[:count])
                writing.write(buffer[:count])
                unsent += count
                if beside is not None and unsent >= SENT_BYTES and (sending is None or sending.done()):
                    _require(sending)
                    unsent, sending = 0, beside.submit(_send, writing.fileno())
        except BaseException:
            # It uses the file; what it says is the same trouble or a later one.
            wait([] if sending is None else [sending])
            raise
        # A disk tells its error once: whoever is told has to pass it on.
        _require(sending)
    return digest.hexdigest()


def _files_of(manifest: bytes, source: str) -> dict[str, str]:
    """The files of a manifest and their digests; SNAPSHOT_CORRUPT when a name or a digest has another form."""
    try:
        return decode_manifest(manifest)
    except ValueError as error:
        raise corrupt_version(f"{source}: {error}", "a manifest names files within its version") from error


def _not_plain(directory: Path) -> Path | None:
    """What is in a directory, or the directory itself, that is neither a file nor a directory; a link is neither."""
    for path in (directory, *sorted(directory.rglob("*"))):
        if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
            return path
    return None


def _require_plain(directory: Path) -> None:
    """Refuse a version that leads elsewhere; one that is missing is not refused."""
    other = directory if directory.is_file() else _not_plain(directory)
    if other is not None:
        raise corrupt_version(
            f"{other} is no file or directory of its own", "a version holds files and directories alone"
        )


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _send(file: int) -> None:
    getattr(os, "fdatasync", os.fsync)(file)


def _require(sending: Future[None] | None) -> None:
    if sending is not None:
        sending.result()


def _files(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and path.name not in {MANIFEST_NAME, LOCK_NAME}
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


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
