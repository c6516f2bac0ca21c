"""Chroma alone: upserts of the workload's rows into a collection with one record a row and Chroma's own parameters.

The limit of a design in which each row is a record. It has no check, no publication and no S3; only Chroma's calls are
timed. It is no build, so it runs in the benchmark's own process.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings

from benchmarks.builds.process import Files

CHUNK_ROWS = 1_000
"""500 to 1,000 rows a call are best (measured with chromadb 1.5.9)."""
COLLECTION = "raw"


class Raw:
    """Chroma's collection of the rows of ``grow``; each measurement takes a copy.

    Args:
        files: the workload.
        directory: of its own; it exists.
    """

    def __init__(self, files: Files, directory: Path) -> None:
        self._files, self._base, self._copy = files, directory / "base", directory / "copy"

    def grow(self) -> None:
        """Make the collection."""
        client = _client(self._base)
        try:
            collection = client.create_collection(
                COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
            )
            self._upsert(collection, "grow")
        finally:
            client.close()

    def upsert(self, group: str) -> float:
        """Seconds that the rows of one group take in a warm collection."""
        shutil.copytree(self._base, self._copy)
        client = _client(self._copy)
        try:
            collection = client.get_collection(COLLECTION, embedding_function=None)
            self._upsert(collection, "warm")
            return self._upsert(collection, group)
        finally:
            client.close()
            shutil.rmtree(self._copy)

    def _upsert(self, collection: Any, group: str) -> float:
        rows = [row for delta in self._files.deltas(group) for row in delta["rows"]]
        seconds = 0.0
        for start in range(0, len(rows), CHUNK_ROWS):
            part = rows[start : start + CHUNK_ROWS]
            embeddings = np.ascontiguousarray(self._files.vectors[[number for _, number, _ in part]])
            documents = [self._files.texts[number] for _, number, _ in part]
            began = time.perf_counter()
            collection.upsert(
                ids=[identifier for identifier, _, _ in part],
                embeddings=embeddings,
                documents=documents,
                metadatas=[metadata for _, _, metadata in part],
            )
            seconds += time.perf_counter() - began
        return seconds


def _client(directory: Path) -> Any:
    return chromadb.PersistentClient(path=str(directory), settings=Settings(anonymized_telemetry=False))
