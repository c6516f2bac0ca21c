"""Chroma without anything around it: the raw limit, and the cycle of the system that this one replaces.

Both start from a collection with one record a row, which is made of a published version's rows and vectors: they hold
the same rows as what they are compared with.
"""

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings

from benchmarks.compaction.rows import COLLECTION, Receipts
from pipeline.aws import AwsClient
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import ROWS_NAME, VECTORS_NAME
from pipeline.collections.vectors import VectorFile
from pipeline.contracts.delta import Delta
from pipeline.objects import CHUNK_BYTES

CHUNK_ROWS = 1_000
"""500 to 1,000 rows a call are best (measured with chromadb 1.5.9)."""
DEFAULT_SYNC = 1_000
"""Chroma's own sync threshold (chromadb 1.5.9, ``collection.configuration`` of a collection that says nothing)."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Rows and the seconds that they took."""

    rows: int
    seconds: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def total(timings: Iterable[Timing]) -> Timing:
    """All of them together."""
    parts = list(timings)
    return Timing(rows=sum(part.rows for part in parts), seconds=sum(part.seconds for part in parts))


class RawCollection:
    """A collection that is open and warm, and to which rows are only ever added.

    Args:
        version: the closed Chroma directory that it starts from (``one_record_a_row``); it is copied.
        directory: where to; it does not exist.
        receipts: where its rows come from.
        sync_threshold: rows after which Chroma persists the index.
    """

    def __init__(self, version: Path, directory: Path, receipts: Receipts, *, sync_threshold: int) -> None:
        self._directory, self._receipts = directory, receipts
        shutil.copytree(version, directory)
        configure(directory, sync_threshold)
        self._client, self._collection = opened(directory)
        self._collection.query(query_embeddings=receipts.vectors(1), n_results=1)

    def insert(self, chunks: int, rows: int) -> Timing:
        """Upsert so many chunks of so many new rows; only Chroma's own call is timed."""
        return total(upsert(self._collection, [self._receipts.delta(rows)]) for _ in range(chunks))

    def close(self) -> None:
        """Close and delete."""
        self._client.close()
        shutil.rmtree(self._directory)


class OriginCycle:
    """The cycle of the system that this one replaces, as its incident reports tell it; re-enacted, not its code.

    For every ten messages the whole snapshot is fetched from S3, opened, each message's rows are upserted in a call of
    their own, and the whole snapshot is stored again. There is no check, no ledger, no lease and no version.

    Args:
        version: the closed Chroma directory that it starts from (``one_record_a_row``).
        directory: local disk; it does not exist.
        s3: a client.
        bucket: the bucket of the snapshot.
    """

    def __init__(self, version: Path, directory: Path, s3: AwsClient, bucket: str) -> None:
        self._directory, self._s3, self._bucket = directory, s3, bucket
        shutil.copytree(version, directory)
        configure(directory, DEFAULT_SYNC)
        self._names = sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
        self._store()

    def run(self, deltas: Sequence[Delta]) -> Timing:
        """One cycle for so many messages."""
        shutil.rmtree(self._directory)
        start = time.perf_counter()
        self._fetch()
        client, collection = opened(self._directory)
        for delta in deltas:
            upsert(collection, [delta])
        client.close()
        self._store()
        return Timing(rows=sum(len(delta.rows) for delta in deltas), seconds=time.perf_counter() - start)

    def close(self) -> None:
        """Delete the local copy; the next cycle of this name replaces the snapshot."""
        shutil.rmtree(self._directory)

    def _fetch(self) -> None:
        for name in self._names:
            target = self._directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            body = self._s3.get_object(Bucket=self._bucket, Key=f"origin/{name}")["Body"]
            with target.open("wb") as file:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    file.write(chunk)

    def _store(self) -> None:
        for name in self._names:
            with (self._directory / name).open("rb") as file:
                self._s3.put_object(Bucket=self._bucket, Key=f"origin/{name}", Body=file)


def one_record_a_row(version: Path, directory: Path, dimensions: int) -> Path:
    """Make a Chroma collection, with Chroma's own parameters, that has a record for each row of a published version.

    Args:
        version: the directory of the version.
        directory: where to; kept when it is there.
        dimensions: numbers a vector.

    Returns:
        The closed directory.
    """
    if directory.exists():
        return directory
    database = CollectionDatabase.open(version / ROWS_NAME)
    vectors = VectorFile.open(version / VECTORS_NAME, dimensions)
    client: Any = chromadb.PersistentClient(path=str(directory), settings=Settings(anonymized_telemetry=False))
    collection = client.create_collection(
        COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    try:
        rows = database.rows.all_rows()
        while part := list(islice(rows, CHUNK_ROWS)):
            collection.add(
                ids=[row.id for row in part],
                embeddings=vectors.at([row.position for row in part]),
                documents=[row.text for row in part],
                metadatas=[row.metadata for row in part],
            )
    finally:
        client.close()
        vectors.close()
        database.close()
    return directory


def opened(directory: Path) -> tuple[Any, Any]:
    """The client of a directory, and its collection."""
    client: Any = chromadb.PersistentClient(path=str(directory), settings=Settings(anonymized_telemetry=False))
    return client, client.get_collection(COLLECTION, embedding_function=None)


def configure(directory: Path, sync_threshold: int) -> None:
    """Set after how many rows a closed directory's collection persists."""
    client, collection = opened(directory)
    collection.modify(configuration={"hnsw": {"sync_threshold": sync_threshold}})
    client.close()


def upsert(collection: Any, deltas: Sequence[Delta]) -> Timing:
    """One call with the rows of some deltas; only the call is timed."""
    identifiers = [row.id for delta in deltas for row in delta.rows]
    vectors = np.concatenate([delta.vectors[[row.text for row in delta.rows]] for delta in deltas])
    documents = [delta.text_of(row) for delta in deltas for row in delta.rows]
    metadatas = [row.metadata for delta in deltas for row in delta.rows]
    start = time.perf_counter()
    collection.upsert(ids=identifiers, embeddings=vectors, documents=documents, metadatas=metadatas)
    return Timing(rows=len(identifiers), seconds=time.perf_counter() - start)
