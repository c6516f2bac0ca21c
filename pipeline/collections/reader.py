"""Finding and opening the published version that ``CURRENT`` names, on a directory or from S3. Reads only.

``SnapshotSource`` follows ``CURRENT``; what it opens is in ``published.py``:

    source = SnapshotSource.from_bucket("lines", s3_client=..., bucket=..., private_directory=...)
    published = source.refresh()
    hits = published.search("oat milk", vector, limit=10)
"""

import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from pipeline.aws import AwsClient
from pipeline.collections.layout import INDEX_NAME, LAYOUT, Pointer, version_path
from pipeline.collections.published import PublishedCollection
from pipeline.collections.search import EXACT_BYTES
from pipeline.collections.versions import download_version, read_current, read_current_object, require_version
from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.files import PARTIAL_SUFFIX
from pipeline.objects import ObjectStore

ABANDONED_SECONDS = 3_600.0


def open_published(
    collection: CollectionName,
    pointer: Pointer,
    directory: Path,
    private_directory: Path,
    exact_bytes: int = EXACT_BYTES,
) -> PublishedCollection:
    """Open the version in ``directory``.

    Raises:
        PermanentError: VERSION_UNSUPPORTED when it is of another layout, SNAPSHOT_CORRUPT when a file is not whole.
    """
    if pointer.layout != LAYOUT:
        raise PermanentError(
            ErrorCode.VERSION_UNSUPPORTED,
            value=f"version {pointer.version} of {collection} has layout {pointer.layout}",
            rule=f"this release reads layout {LAYOUT}",
            way_out="the next tick of the merge converts it, within a minute; `receipts rebuild` does it at once"
            if pointer.layout < LAYOUT
            else "deploy the release that published it",
        )
    return PublishedCollection(collection, pointer, directory, private_directory, exact_bytes)


class SnapshotSource:
    """Follows ``CURRENT``: on a directory of published versions where one is mounted, else in S3 with a local cache.

    Args:
        collection: its name.
        private_directory: of this reader alone; what it brings from S3 is there.
        collections_directory: where versions are published.
        objects: S3.
        bucket: of the versions.
        is_exact: never open the Chroma collection, nor bring it from S3, however large the collection is: vectors are
            scanned in their mapped file, so that memory does not grow with the collection. For hosts of little memory.
    """

    def __init__(
        self,
        collection: CollectionName,
        *,
        private_directory: Path,
        collections_directory: Path | None = None,
        objects: ObjectStore | None = None,
        bucket: str = "",
        is_exact: bool = False,
    ) -> None:
        self._collection: CollectionName = collection
        self._is_exact = is_exact
        self._private = private_directory
        self._root = collections_directory
        self._objects = objects
        self._bucket = bucket
        self._open: PublishedCollection | None = None

    @classmethod
    def from_directory(
        cls,
        collection: CollectionName,
        *,
        collections_directory: Path,
        private_directory: Path,
        s3_client: AwsClient | None = None,
        bucket: str = "",
        is_exact: bool = False,
    ) -> Self:
        """Read versions where they are published (EFS); with an S3 client, from S3 while the directory is empty."""
        return cls(
            collection,
            is_exact=is_exact,
            collections_directory=collections_directory,
            private_directory=private_directory,
            objects=None if s3_client is None else ObjectStore(s3_client),
            bucket=bucket,
        )

    @classmethod
    def from_bucket(
        cls,
        collection: CollectionName,
        *,
        s3_client: AwsClient,
        bucket: str,
        private_directory: Path,
        is_exact: bool = False,
    ) -> Self:
        """Read versions from S3; each is downloaded once into ``private_directory``."""
        return cls(
            collection,
            objects=ObjectStore(s3_client),
            bucket=bucket,
            private_directory=private_directory,
            is_exact=is_exact,
        )

    def refresh(self) -> PublishedCollection | None:
        """The current version, opened when ``CURRENT`` moved; None only when nothing was ever published.

        Raises:
            PermanentError: SNAPSHOT_MISSING, SNAPSHOT_CORRUPT when the pointer does not name a sound version.
            RetryableError: STORAGE_FULL when there is no room for the version beside no other one; SERVICE_UNAVAILABLE.
        """
        pointer, root = self._pointer()
        if pointer is None:
            return None
        if self._open is not None and self._open.version == pointer.version:
            return self._open
        try:
            opened = self._open_version(pointer, root)
        except (PermanentError, FileNotFoundError):
            # Between the pointer and its version a publication may have removed the version; the pointer then moved.
            moved, root = self._pointer()
            if moved is None or moved.version == pointer.version:
                raise
            pointer = moved
            opened = self._open_version(pointer, root)
        previous, self._open = self._open, opened
        if previous is not None:
            previous.close()
        self._remove_cached(pointer.version)
        return opened

    def close(self) -> None:
        """Close what is open; a later ``refresh`` opens again."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _pointer(self) -> tuple[Pointer | None, Path | None]:
        """The pointer, and the directory that its version is on; None when that is in S3."""
        if self._root is not None:
            pointer = read_current(self._root, self._collection)
            if pointer is not None or self._objects is None:
                return pointer, self._root
        if self._objects is None:
            raise ValueError("a SnapshotSource has a directory or a bucket")
        return read_current_object(self._objects, self._bucket, self._collection), None

    def _open_version(self, pointer: Pointer, root: Path | None) -> PublishedCollection:
        directory = self._directory(pointer, root)
        exact_bytes = sys.maxsize if self._is_exact else EXACT_BYTES
        return open_published(self._collection, pointer, directory, self._private, exact_bytes)

    def _directory(self, pointer: Pointer, root: Path | None) -> Path:
        if root is not None:
            return require_version(root, self._collection, pointer)
        try:
            return self._download(pointer)
        except RetryableError as error:
            if error.code is not ErrorCode.STORAGE_FULL:
                raise
            # Two versions do not fit beside each other, so the older one goes first.
            self.close()
            self._remove_cached(pointer.version)
            return self._download(pointer)

    def _download(self, pointer: Pointer) -> Path:
        if self._objects is None:
            raise ValueError("a SnapshotSource has a directory or a bucket")
        without = (INDEX_NAME + "/",) if self._is_exact else ()
        return download_version(
            self._objects, self._bucket, self._collection, pointer, self._private, leave_out=without
        )

    def _remove_cached(self, current: str) -> None:
        """Remove every other version that was brought from S3; views of other processes hold what they need of it.

        A download that has not changed for an hour was killed.
        """
        cached = version_path(self._private, self._collection, current).parent
        for path in cached.iterdir() if cached.is_dir() else ():
            if path.name.endswith(PARTIAL_SUFFIX):
                is_useless = time.time() - path.stat().st_mtime > ABANDONED_SECONDS
            else:
                is_useless = path.name < current
            if is_useless:
                with suppress(OSError):
                    shutil.rmtree(path)
