"""The working copy of one collection: a private Chroma directory on local disk, disposable, trusted while warm.

After any doubt it is deleted and restored; a Chroma directory that was open during a crash is never opened again.
"""

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chromadb
import numpy as np
from chromadb.config import Settings

from pipeline.collections.layout import MANIFEST_NAME
from pipeline.contracts.delta import Delta
from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, RetryableError

if TYPE_CHECKING:
    from collections.abc import Callable

UPSERT_ROWS = 500
"""Rows of one upsert; 500 to 1,000 is best, and the upsert holds the GIL throughout (FACTS, Chroma: measured)."""


class WorkingCopy:
    """One collection, open for writing by this process alone.

    Args:
        collection: its name.
        parent: the directory on local disk under which the copy gets a directory of its own.
        source: the published version to start from; None starts empty.
    """

    def __init__(self, collection: CollectionName, *, parent: Path, source: Path | None) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.identifier = uuid.uuid4().hex
        self.revision = 0
        self.directory = parent / f"{collection}-{self.identifier}"
        self._name: CollectionName = collection
        if source is None:
            self.directory.mkdir()
        else:
            shutil.copytree(source, self.directory, ignore=shutil.ignore_patterns(MANIFEST_NAME))
        self._client: Any = None
        self._collection: Any = None
        self._open(create=source is None)

    @property
    def stamp(self) -> str:
        """Which copy at which revision; the lease keeps it, so a later merge knows whether this copy wrote last."""
        return f"{self.identifier}:{self.revision}"

    @property
    def count(self) -> int:
        """Vectors in the copy."""
        return self._collection.count()

    def upsert(self, delta: Delta, between_chunks: "Callable[[], None]") -> int:
        """Write a delta's rows and read every id back.

        Args:
            delta: verified.
            between_chunks: called after each chunk; the lease is renewed there, because the upsert starves threads.

        Returns:
            Rows read back.

        Raises:
            RetryableError: MERGE_INCOMPLETE when an id is not there afterwards.
        """
        vectors = np.ascontiguousarray(delta.vectors, dtype=np.float32)
        for start in range(0, len(delta.rows), UPSERT_ROWS):
            rows = delta.rows[start : start + UPSERT_ROWS]
            self._collection.upsert(
                ids=[row.id for row in rows],
                embeddings=vectors[start : start + UPSERT_ROWS],
                documents=[row.document for row in rows],
                metadatas=[row.metadata for row in rows],
            )
            between_chunks()
        found = self._read_back([row.id for row in delta.rows])
        if found != len(delta.rows):
            raise RetryableError(
                ErrorCode.MERGE_INCOMPLETE,
                value=f"{found} of {len(delta.rows)} rows of run {delta.run_id} are in the working copy",
                rule="every id of a delta is read back",
                way_out="the working copy is discarded and the run is merged again",
            )
        self.revision += 1
        return found

    def close(self) -> None:
        """Close the client, after which the directory may be copied; ``reopen`` goes on."""
        self._client.close()
        self._client = self._collection = None

    def reopen(self) -> None:
        """Open again after ``close``; nothing else has touched the directory."""
        self._open(create=False)

    def discard(self) -> None:
        """Close and delete."""
        if self._client is not None:
            self._client.close()
            self._client = self._collection = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _read_back(self, identifiers: list[str]) -> int:
        return sum(
            len(self._collection.get(ids=identifiers[start : start + UPSERT_ROWS], include=[])["ids"])
            for start in range(0, len(identifiers), UPSERT_ROWS)
        )

    def _open(self, *, create: bool) -> None:
        self._client = chromadb.PersistentClient(
            path=str(self.directory), settings=Settings(anonymized_telemetry=False)
        )
        if create:
            # Cosine explicitly, the default is l2; no embedding function, or Chroma reaches for a model to download.
            self._collection = self._client.create_collection(
                self._name,
                embedding_function=None,
                configuration={
                    "hnsw": {"space": "cosine", "sync_threshold": UPSERT_ROWS, "batch_size": UPSERT_ROWS // 5}
                },
            )
        else:
            self._collection = self._client.get_collection(self._name, embedding_function=None)
