"""Chroma itself, and private copies of its directories; a failure lets a reader change what is published."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pipeline.collections.chroma import (
    INDEX_HEADER,
    PARAMETERS,
    ChromaIndex,
    clear_unused_places,
    is_at_rest,
    open_private,
)
from pipeline.collections.layout import DATABASE_NAME
from tests.compaction.copies import chroma_client

DIMENSIONS = 8
HISTORIES = 12


def written(directory: Path, numbers: np.random.Generator, sync_threshold: int) -> None:
    """A closed collection after some upserts, deletions and updates."""
    client = chroma_client(directory)
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
    client = chroma_client(tmp_path / "d")
    made = client.create_collection("lines", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    made.upsert(ids=["a", "b"], embeddings=np.eye(2, DIMENSIONS, dtype=np.float32))
    client.close()
    assert not is_at_rest(tmp_path / "d" / DATABASE_NAME)
    view = open_private("lines", tmp_path / "d", tmp_path / "private")
    found = view.collection.query(query_embeddings=np.eye(1, DIMENSIONS, dtype=np.float32), n_results=1)
    view.close()
    assert found["ids"] == [["a"]]


@pytest.mark.parametrize("records", [1, 62, 100, 101, 250])
def test_places_that_no_record_uses_are_cleared_and_the_records_stay(tmp_path: Path, records: int):
    vectors = np.random.default_rng(records).standard_normal((records, DIMENSIONS)).astype(np.float32)
    texts = [f"text {number}" for number in range(records)]
    index = ChromaIndex.create(tmp_path, "lines", PARAMETERS[0])
    index.add(texts, vectors)
    index.close()
    (segment,) = (path.parent for path in tmp_path.glob("*/header.bin"))
    _, _, places, count, size, _, _ = INDEX_HEADER.unpack_from((segment / "header.bin").read_bytes())
    assert (count, len((segment / "length.bin").read_bytes()) >= 4 * count) == (records, True)
    for name, used in (("data_level0.bin", count * size), ("length.bin", 4 * count)):
        content = (segment / name).read_bytes()
        # As if the memory had held something before.
        (segment / name).write_bytes(content[:used] + b"\xee" * (len(content) - used))
    clear_unused_places(tmp_path)
    assert places >= records
    for name, used in (("data_level0.bin", count * size), ("length.bin", 4 * count)):
        assert not any((segment / name).read_bytes()[used:])
    index = ChromaIndex.open(tmp_path, "lines")
    assert [found[0] for found in index.nearest_texts(vectors, 1)] == texts
    # More texts than there were places: they are taken as before.
    more = np.random.default_rng(1_000).standard_normal((120, DIMENSIONS)).astype(np.float32)
    index.add([f"more {number}" for number in range(120)], more)
    index.close()
    index = ChromaIndex.open(tmp_path, "lines")
    assert [found[0] for found in index.nearest_texts(more, 1)] == [f"more {number}" for number in range(120)]
    index.close()


def test_files_of_an_unknown_format_are_not_overwritten(tmp_path: Path):
    (tmp_path / "segment").mkdir()
    (tmp_path / "segment" / "header.bin").write_bytes(INDEX_HEADER.pack(2, 0, 100, 1, 64, 56, 24))
    (tmp_path / "segment" / "data_level0.bin").write_bytes(b"x" * 6400)
    with pytest.raises(ValueError, match="format 2"):
        clear_unused_places(tmp_path)
    assert (tmp_path / "segment" / "data_level0.bin").read_bytes() == b"x" * 6400
