"""The working copy of one collection: a private Chroma directory on local disk, disposable, trusted while warm.

After any doubt it is deleted and restored; a Chroma directory that was open during a crash is never opened again. Its
ledger stands beside Chroma's files and is as disposable.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import chromadb
import numpy as np
from chromadb.config import Settings

from compaction_handler.planning import Plan
from pipeline.collections.layout import LEDGER_NAME
from pipeline.collections.ledger import Ledger
from pipeline.collections.private import PrivateDirectory
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.store import copy_verified
from pipeline.contracts.delta import Delta
from pipeline.contracts.identifiers import CollectionName, receipt_vector_prefix
from pipeline.contracts.metadata import Metadata
from pipeline.errors import ErrorCode, RetryableError

CHUNK_ROWS = 900
"""Rows of one call; 500 to 1,000 is best, and the upsert holds the GIL throughout (FACTS, Chroma: measured). The log
of a call leaves 8 KB a row of free pages in the database, which every reader copies, so it is not the most (measured:
1,000 make the database 0.2003 of a version of 85,000 rows and 1,536 dimensions, 900 make it 0.1977)."""


class _Chunk(NamedTuple):
    identifiers: list[str]
    vectors: np.ndarray
    documents: list[str]
    metadatas: list[Metadata]


class WorkingCopy:
    """One collection, open for writing by this process alone.

    Args:
        collection: its name.
        parent: the directory on local disk under which the copy gets a directory of its own.
        source: the published version to start from, verified as it is copied; None starts empty.
        base: the name of that version; empty when there is none.
    """

    def __init__(self, collection: CollectionName, *, parent: Path, source: Path | None, base: str = "") -> None:
        self.identifier = uuid.uuid4().hex
        self.revision = 0
        self.base = base
        self._private = PrivateDirectory.create(parent, f"{collection}-working")
        self._name: CollectionName = collection
        self._client: Any = None
        self._collection: Any = None
        self._ledger: Ledger | None = None
        try:
            if source is not None:
                copy_verified(source, self.directory)
            self._open(create=source is None)
        except BaseException:
            self.discard()
            raise

    @property
    def directory(self) -> Path:
        """Where it stands."""
        return self._private.path

    @property
    def stamp(self) -> str:
        """Which copy at which revision; the lease keeps it, so a later merge knows whether this copy wrote last."""
        return f"{self.identifier}:{self.revision}"

    @property
    def ledger(self) -> Ledger:
        """What the copy holds."""
        if self._ledger is None:
            raise ValueError("the working copy is closed")
        return self._ledger

    @property
    def count(self) -> int:
        """Vectors in the copy."""
        return self._collection.count()

    @property
    def size(self) -> int:
        """Bytes of its files, about: SQLite's journals come and go."""
        size = 0
        for path in self.directory.rglob("*"):
            with suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def identifiers_of(self, key: ReceiptKey) -> list[str]:
        """The ids of a receipt's rows as Chroma itself has them, whatever the ledger says."""
        prefix = receipt_vector_prefix(uuid.UUID(key.image_id), key.receipt_id)
        found = self._collection.get(where={"image_id": key.image_id}, include=[])["ids"]
        return [identifier for identifier in found if identifier.startswith(prefix)]

    def apply(self, plan: Plan, deltas: Mapping[str, Delta], between_chunks: Callable[[], None]) -> None:
        """Write what a plan says, read every id back, then remember it in the ledger.

        Args:
            plan: what to write.
            deltas: by run, verified; one for every upsert of the plan.
            between_chunks: called after each chunk; it raises when the lease is gone.

        Raises:
            RetryableError: MERGE_INCOMPLETE when what is there afterwards is not what was written.
        """
        self.revision += 1
        expected = self.count - self._found(plan.removals)
        written: list[str] = []
        for part in _parts(plan.removals):
            self._collection.delete(ids=part)
            between_chunks()
        for chunk in _chunks(plan, deltas):
            present = self._collection.get(ids=chunk.identifiers, include=["metadatas"])
            expected += len(chunk.identifiers) - len(present["ids"])
            # Chroma adds 6 % faster than it upserts (measured), and silently drops what is there already.
            write = self._collection.upsert if present["ids"] else self._collection.add
            write(
                ids=chunk.identifiers,
                embeddings=chunk.vectors,
                documents=chunk.documents,
                metadatas=_replacing(chunk, dict(zip(present["ids"], present["metadatas"], strict=True))),
            )
            written += chunk.identifiers
            between_chunks()
        for part in _parts(list(plan.patches)):
            self._collection.update(ids=part, metadatas=[plan.patches[identifier] for identifier in part])
            between_chunks()
        written += plan.patches
        found, left, count = self._found(written), self._found(plan.removals), self.count
        if found != len(written) or left or count != expected:
            raise RetryableError(
                ErrorCode.MERGE_INCOMPLETE,
                value=f"{found} of {len(written)} rows are in the working copy of {self._name}, {left} of "
                f"{len(plan.removals)} removed ones as well, {count} in all instead of {expected}",
                rule="every id that is written or removed is read back",
                way_out="the working copy is discarded and the runs are merged again",
            )
        self.ledger.write(plan.holdings, plan.outcomes)

    def close(self) -> None:
        """Close the files, after which the directory may be copied; ``reopen`` goes on."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        if self._client is not None:
            self._client.close()
            self._client = self._collection = None

    def reopen(self) -> None:
        """Open again after ``close``, unless it is open; nothing else has touched the directory."""
        if self._client is None:
            self._open(create=False)

    def warm_up(self) -> None:
        """Have Chroma read the index now, which it else does at the first use, and with the GIL (measured)."""
        self._collection.get(limit=1, include=["embeddings"])

    def discard(self) -> None:
        """Close and delete."""
        try:
            self.close()
        finally:
            self._private.remove()

    def _found(self, identifiers: Sequence[str]) -> int:
        return sum(len(self._collection.get(ids=part, include=[])["ids"]) for part in _parts(identifiers))

    def _open(self, *, create: bool) -> None:
        self._client = chromadb.PersistentClient(
            path=str(self.directory), settings=Settings(anonymized_telemetry=False)
        )
        if create:
            # Cosine explicitly, the default is l2; no embedding function, or Chroma reaches for a model to download.
            # Every call is persisted: calls are as large as chunks anyway, and a copy that is closed is at rest.
            self._collection = self._client.create_collection(
                self._name,
                embedding_function=None,
                configuration={"hnsw": {"space": "cosine", "sync_threshold": 1, "batch_size": 1}},
            )
        else:
            self._collection = self._client.get_collection(self._name, embedding_function=None)
        path = self.directory / LEDGER_NAME
        is_new = not path.exists()
        self._ledger = Ledger(path)
        if is_new and not create:
            self._ledger.rebuild(self._rows_and_runs())

    def _rows_and_runs(self) -> Iterator[tuple[str, str]]:
        # In pages: Chroma refuses the metadata of more than 32,766 rows at once, for too many SQL variables (measured).
        for offset in range(0, self.count, CHUNK_ROWS):
            page = self._collection.get(limit=CHUNK_ROWS, offset=offset, include=["metadatas"])
            for identifier, metadata in zip(page["ids"], page["metadatas"], strict=True):
                yield identifier, str((metadata or {}).get("run_id", ""))


def _chunks(plan: Plan, deltas: Mapping[str, Delta]) -> Iterator[_Chunk]:
    """The rows of all upserts, across receipts, in chunks that Chroma takes best."""
    pieces: list[tuple[Delta, Metadata, int, int]] = []
    size = 0
    for key, operation in plan.upserts.items():
        delta, start = deltas[operation.run_id], 0
        while start < len(delta.rows):
            stop = min(len(delta.rows), start + CHUNK_ROWS - size)
            pieces.append((delta, plan.changes.get(key, {}), start, stop))
            size += stop - start
            start = stop
            if size == CHUNK_ROWS:
                yield _chunk(pieces)
                pieces, size = [], 0
    if pieces:
        yield _chunk(pieces)


def _chunk(pieces: Iterable[tuple[Delta, Metadata, int, int]]) -> _Chunk:
    parts = list(pieces)
    rows = [(row, changes) for delta, changes, start, stop in parts for row in delta.rows[start:stop]]
    return _Chunk(
        identifiers=[row.id for row, _ in rows],
        vectors=np.ascontiguousarray(np.concatenate([delta.vectors[start:stop] for delta, _, start, stop in parts])),
        documents=[row.document for row, _ in rows],
        metadatas=[{**row.metadata, **changes} for row, changes in rows],
    )


def _replacing(chunk: _Chunk, present: Mapping[str, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """The metadata of a chunk, with None for fields that a row has and loses: Chroma's upsert merges, it never removes.

    To delete the row first would be faster, but the index never gives a deleted row's place back (measured).
    """
    return [
        dict.fromkeys(present.get(identifier) or {}) | metadata
        for identifier, metadata in zip(chunk.identifiers, chunk.metadatas, strict=True)
    ]


def _parts(identifiers: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(identifiers), CHUNK_ROWS):
        yield list(identifiers[start : start + CHUNK_ROWS])
