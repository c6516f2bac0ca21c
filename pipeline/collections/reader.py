"""Reading a published collection through a private view: never the working copy, never the published files themselves.

Opening a Chroma directory writes to it, so the view has its own ``chroma.sqlite3`` and links the rest.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.aws import AwsClient
from pipeline.collections.layout import MANIFEST_NAME, Pointer, version_path
from pipeline.collections.store import download_version, read_current, read_current_object, require_version
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.metadata import MERCHANT_NAME
from pipeline.objects import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A published row near the vector asked for; ``distance`` is cosine, 0 to 2."""

    id: str
    document: str
    metadata: Mapping[str, str | int | float | bool]
    distance: float


class PublishedCollection:
    """One version, open for queries until ``close``. Build it with ``open_published``."""

    def __init__(self, *, pointer: Pointer, client: Any, collection: Any, view: Path) -> None:
        self._pointer = pointer
        self._client = client
        self._collection = collection
        self._view = view

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
        answer = self._collection.query(
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

    def close(self) -> None:
        """Release the memory and the private view."""
        self._client.close()
        shutil.rmtree(self._view, ignore_errors=True)


def open_published(
    collection: CollectionName, pointer: Pointer, directory: Path, private_directory: Path
) -> PublishedCollection:
    """Open the version in ``directory`` through a view of its own under ``private_directory``."""
    import chromadb  # noqa: PLC0415 - costs 1.1 s; only readers and the merge pay for it
    from chromadb.config import Settings  # noqa: PLC0415

    private_directory.mkdir(parents=True, exist_ok=True)
    view = Path(tempfile.mkdtemp(prefix=f"{collection}-{pointer.version}-", dir=private_directory))
    for entry in directory.iterdir():
        if entry.is_dir():
            (view / entry.name).symlink_to(entry.resolve(), target_is_directory=True)
        elif entry.name != MANIFEST_NAME:
            shutil.copyfile(entry, view / entry.name)
    client = chromadb.PersistentClient(path=str(view), settings=Settings(anonymized_telemetry=False))
    opened = client.get_collection(collection, embedding_function=None)
    return PublishedCollection(pointer=pointer, client=client, collection=opened, view=view)


class SnapshotSource:
    """Follows ``CURRENT``: from a directory of published versions, or from S3 with a local cache."""

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
        cls, collection: CollectionName, *, collections_directory: Path, private_directory: Path
    ) -> Self:
        """Read versions where they are published (EFS)."""
        return cls(collection, collections_directory=collections_directory, private_directory=private_directory)

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
        pointer = self._pointer()
        if pointer is None:
            return None
        if self._open is not None and self._open.version == pointer.version:
            return self._open
        directory = self._directory(pointer)
        opened = open_published(self._collection, pointer, directory, self._private)
        previous, self._open = self._open, opened
        if previous is not None:
            previous.close()
            if self._objects is not None:
                shutil.rmtree(version_path(self._private, self._collection, previous.version), ignore_errors=True)
        return opened

    def close(self) -> None:
        """Close what is open; a later ``refresh`` opens again."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _pointer(self) -> Pointer | None:
        if self._root is not None:
            return read_current(self._root, self._collection)
        return read_current_object(self._require_objects(), self._bucket, self._collection)

    def _directory(self, pointer: Pointer) -> Path:
        if self._root is not None:
            return require_version(self._root, self._collection, pointer)
        return download_version(self._require_objects(), self._bucket, self._collection, pointer, self._private)

    def _require_objects(self) -> ObjectStore:
        if self._objects is None:
            raise ValueError("a SnapshotSource has a directory or a bucket")
        return self._objects
