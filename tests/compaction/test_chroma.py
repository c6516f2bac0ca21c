"""Chroma itself, and private copies of its directories; a failure lets a reader change what is published."""

from hashlib import sha256
from pathlib import Path

import chromadb
import numpy as np
import pytest

from pipeline.collections.chroma import is_at_rest, open_private
from pipeline.collections.layout import DATABASE_NAME

DIMENSIONS = 8
HISTORIES = 12


def written(directory: Path, numbers: np.random.Generator, sync_threshold: int) -> None:
    """A closed collection after some upserts, deletions and updates."""
    client = chromadb.PersistentClient(path=str(directory), settings=chromadb.Settings(anonymized_telemetry=False))
    hnsw = {"space": "cosine", "sync_threshold": sync_threshold, "batch_size": 1}
    made = client.create_collection("lines", embedding_function=None, configuration={"hnsw": hnsw})
    for step in range(numbers.integers(1, 8)):
        kind = numbers.choice(["upsert", "upsert", "delete", "update"])
        some = made.get(include=[])["ids"][: numbers.integers(1, 20)]
        if kind == "upsert":
            rows, first = int(numbers.integers(1, 26)), int(numbers.integers(0, 100))
            made.upsert(
                ids=[str(first + row) for row in range(rows)],
                embeddings=numbers.standard_normal((rows, DIMENSIONS)).astype(np.float32),
                metadatas=[{"step": step}] * rows,
            )
        elif some and kind == "delete":
            made.delete(ids=some)
        elif some:
            made.update(ids=some, metadatas=[{"step": step}] * len(some))
    client.close()


def digests(directory: Path) -> dict[Path, str]:
    return {path: sha256(path.read_bytes()).hexdigest() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("sync_threshold", [1, 25])
def test_reading_through_a_private_copy_changes_no_byte_of_the_version(tmp_path: Path, sync_threshold: int):
    numbers = np.random.default_rng(sync_threshold)
    linked = 0
    for history in range(HISTORIES):
        directory = tmp_path / str(history)
        written(directory, numbers, sync_threshold)
        before = digests(directory)
        linked += is_at_rest(directory / DATABASE_NAME)
        view = open_private("lines", directory, tmp_path / "private")
        view.collection.get(include=["embeddings"])
        if view.collection.count():
            view.collection.query(query_embeddings=np.ones((1, DIMENSIONS), dtype=np.float32), n_results=1)
        view.close()
        assert digests(directory) == before, history
    # Both ways of bringing the segments were taken.
    assert 0 < linked < HISTORIES


def test_a_private_copy_has_the_rows_that_only_the_log_holds(tmp_path: Path):
    client = chromadb.PersistentClient(path=str(tmp_path / "d"), settings=chromadb.Settings(anonymized_telemetry=False))
    made = client.create_collection("lines", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    made.upsert(ids=["a", "b"], embeddings=np.eye(2, DIMENSIONS, dtype=np.float32))
    client.close()
    assert not is_at_rest(tmp_path / "d" / DATABASE_NAME)
    view = open_private("lines", tmp_path / "d", tmp_path / "private")
    found = view.collection.query(query_embeddings=np.eye(1, DIMENSIONS, dtype=np.float32), n_results=1)
    view.close()
    assert found["ids"] == [["a"]]
