"""Reading a published collection through a private view: never the working copy, never the published files themselves.

Opening a Chroma directory writes to it, so the view has its own ``chroma.sqlite3`` and links the rest.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from pipeline.aws import AwsClient
from pipeline.collections.layout import PARTIAL_SUFFIX, Pointer, version_path
from pipeline.collections.ledger import Ledger
from pipeline.collections.store import download_version, read_current, read_current_object, require_version
from pipeline.collections.view import View, open_view
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.metadata import MERCHANT_NAME, MERCHANT_SOURCE, Metadata
from pipeline.errors import PermanentError
from pipeline.merchants.names import KnownMerchant
from pipeline.objects import ObjectStore

ABANDONED_SECONDS = 3_600.0
PAGE_ROWS = 1_000
"""Rows that are read at once: 6 MB of vectors at 1,536 dimensions."""


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A published row near the vector asked for; ``distance`` is cosine, 0 to 2."""

    id: str
    document: str
    metadata: Metadata
    distance: float


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """A row as it is published; ``has_vector`` is False when the metadata database has it and the index does not."""

    id: str
    metadata: Metadata
    has_vector: bool = True


class PublishedCollection:
    """One version, open for queries until ``close``. Build it with ``open_published``."""

    def __init__(self, *, pointer: Pointer, view: View) -> None:
        self._pointer = pointer
        self._view = view
        self._merchants: tuple[KnownMerchant, ...] | None = None

    @property
    def version(self) -> str:
        """The version's name."""
        return self._pointer.version

    @property
    def count(self) -> int:
        """Vectors in the version."""
        return self._pointer.count

    def query(self, vectors: np.ndarray, limit: int, merchant: str | None = None) -> list[list[Neighbour]]:
        """The nearest rows of each vector, nearest first.

        Args:
            vectors: queries x dimensions.
            limit: rows a query, at most.
            merchant: only rows of this merchant; about 50 times slower (FACTS of the where filter).
        """
        if self.count == 0 or len(vectors) == 0:
            return [[] for _ in vectors]
        answer = self._view.collection.query(
            query_embeddings=np.asarray(vectors, dtype=np.float32),
            n_results=min(limit, self.count),
            where=None if merchant is None else {MERCHANT_NAME: merchant},
            include=["documents", "metadatas", "distances"],
        )
        rows = zip(answer["ids"], answer["documents"], answer["metadatas"], answer["distances"], strict=True)
        return [
            [
                Neighbour(id=identifier, document=document or "", metadata=metadata or {}, distance=float(distance))
                for identifier, document, metadata, distance in zip(*columns, strict=True)
            ]
            for columns in rows
        ]

    def merchants(self) -> Sequence[KnownMerchant]:
        """The merchants of the rows, by the spelling of their names; read once, because a version never changes."""
        if self._merchants is None:
            receipts: dict[str, set[tuple[object, object]]] = {}
            given: set[object] = set()
            for row in self.rows():
                name = row.metadata.get(MERCHANT_NAME)
                if isinstance(name, str) and name:
                    key = (row.metadata.get("image_id"), row.metadata.get("receipt_id"))
                    receipts.setdefault(name, set()).add(key)
                    if row.metadata.get(MERCHANT_SOURCE) == "given":
                        given.add(name)
            self._merchants = tuple(
                KnownMerchant(name=name, receipts=len(keys), given=name in given)
                for name, keys in sorted(receipts.items())
            )
        return self._merchants

    def rows(self) -> Iterator[PublishedRow]:
        """Every row, in no order; a page is in memory at a time."""
        collection = self._view.collection
        for offset in range(0, collection.count(), PAGE_ROWS):
            page = collection.get(limit=PAGE_ROWS, offset=offset, include=["metadatas"])
            without = self._without_vector(page["ids"])
            for identifier, metadata in zip(page["ids"], page["metadatas"], strict=True):
                yield PublishedRow(id=identifier, metadata=metadata or {}, has_vector=identifier not in without)

    def _without_vector(self, identifiers: list[str]) -> set[str]:
        """Those that the index has lost. Chroma refuses to read them and any that are read with them: hence halves."""
        from chromadb.errors import InternalError  # noqa: PLC0415 - who has a collection open has imported Chroma

        try:
            self._view.collection.get(ids=identifiers, include=["embeddings"])
        except InternalError:
            if len(identifiers) == 1:
                return set(identifiers)
            middle = len(identifiers) // 2
            return self._without_vector(identifiers[:middle]) | self._without_vector(identifiers[middle:])
        return set()

    def ledger(self) -> Ledger:
        """The version's ledger, open for reading; close it before the collection."""
        return self._view.ledger()

    def close(self) -> None:
        """Release the memory and the private view."""
        self._view.close()


def open_published(
    collection: CollectionName, pointer: Pointer, directory: Path, private_directory: Path
) -> PublishedCollection:
    """Open the version in ``directory`` through a view of its own under ``private_directory``."""
    return PublishedCollection(pointer=pointer, view=open_view(collection, directory, private_directory))


class SnapshotSource:
    """Follows ``CURRENT``: on a directory of published versions where one is mounted, else in S3 with a local cache."""

    def __init__(
        self,
        collection: CollectionName,
        *,
        private_directory: Path,
        collections_directory: Path | None = None,
        objects: ObjectStore | None = None,
        bucket: str = "",
    ) -> None:
        self._collection: CollectionName = collection
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
    ) -> Self:
        """Read versions where they are published (EFS); with an S3 client, from S3 while the directory is empty."""
        return cls(
            collection,
            collections_directory=collections_directory,
            private_directory=private_directory,
            objects=None if s3_client is None else ObjectStore(s3_client),
            bucket=bucket,
        )

    @classmethod
    def from_bucket(
        cls, collection: CollectionName, *, s3_client: AwsClient, bucket: str, private_directory: Path
    ) -> Self:
        """Read versions from S3; each is downloaded once into ``private_directory``."""
        return cls(collection, objects=ObjectStore(s3_client), bucket=bucket, private_directory=private_directory)

    def refresh(self) -> PublishedCollection | None:
        """The current version, opened when ``CURRENT`` moved; None only when nothing was ever published.

        Raises:
            PermanentError: SNAPSHOT_MISSING, SNAPSHOT_CORRUPT when the pointer does not name a sound version.
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

    def version_directory(self) -> Path | None:
        """The directory of the current version, brought from S3 where no directory is mounted; not to be written to."""
        pointer, root = self._pointer()
        return None if pointer is None else self._directory(pointer, root)

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
        return open_published(self._collection, pointer, self._directory(pointer, root), self._private)

    def _directory(self, pointer: Pointer, root: Path | None) -> Path:
        if root is not None:
            return require_version(root, self._collection, pointer)
        if self._objects is None:
            raise ValueError("a SnapshotSource has a directory or a bucket")
        return download_version(self._objects, self._bucket, self._collection, pointer, self._private)

    def _remove_cached(self, current: str) -> None:
        """Remove every other version that was brought from S3; views of other processes hold what they need of it.

        A download that nobody has written to for an hour was killed.
        """
        cached = version_path(self._private, self._collection, current).parent
        for path in cached.iterdir() if cached.is_dir() else ():
            if path.name.endswith(PARTIAL_SUFFIX):
                is_useless = time.time() - path.stat().st_mtime > ABANDONED_SECONDS
            else:
                is_useless = path.name < current
            if is_useless:
                shutil.rmtree(path, ignore_errors=True)
