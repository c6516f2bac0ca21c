"""What a merge and readers make of texts and versions that no one expects; a failure holds up a collection for good."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from compaction_handler.restoring import restore
from compaction_handler.soundness import judge, require_sound
from pipeline.collections.chroma import ChromaIndex, record_id
from pipeline.collections.layout import INDEX_NAME, ROWS_NAME, VECTORS_NAME, Pointer, version_path
from pipeline.collections.reader import SnapshotSource, open_published
from pipeline.collections.versions import read_current
from pipeline.contracts.identifiers import legacy_delta_key, sha256_hex
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import RunState
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from tests.compaction.copies import inspection_of, sealed_copy
from tests.compaction.world import DIMENSIONS, MODEL, MergeWorld, ids, row_id, spoil
from tests.test_delta import version_1, written
from tests.world import BUCKET

RUN = sha256_hex(b"1")[:32]
TEXTS = ["milk", "Milk", "milk ", " milk", "caf\u00e9", "cafe\u0301", "", " ", "\0", "a\0b", "a\0c", "x" * 100_000]


def published_texts(world: MergeWorld) -> dict[str, str]:
    source = SnapshotSource.from_directory(
        "lines", collections_directory=world.root, private_directory=world.path / "r"
    )
    with closing(source):
        published = source.refresh()
        assert published is not None
        assert published.open_index().identifiers() == {record_id(row.text) for row in published.rows()}
        return {row.id: row.text for row in published.rows()}


def test_texts_that_differ_in_case_form_blanks_or_nul_are_texts_with_rows_of_their_own(world):
    reference = world.operation("upsert", 1, rows=len(TEXTS), texts=TEXTS)
    merger = world.merger()
    merger.merge([reference])
    assert world.states(reference) == [RunState.COMPLETED]
    assert published_texts(world) == {row_id(1, row): text for row, text in enumerate(TEXTS)}
    merger.merge([world.operation("upsert", 1, rows=2, texts=TEXTS[:2])])
    assert published_texts(world) == {row_id(1, row): text for row, text in enumerate(TEXTS[:2])}


def put_delta(world: MergeWorld, content: bytes, key: str = "") -> RunReference:
    """A run that records these bytes as its delta for the lines, whoever made them."""
    reference = world.run(1)
    spoil(world, reference, lines_delta_sha256=sha256_hex(content))
    world.s3.put_object(Bucket=BUCKET, Key=key or world.delta_key(reference), Body=content)
    return reference


def header(texts: list[str]) -> dict[str, Any]:
    return {
        "version": "2.0",
        "collection": "lines",
        "run_id": RUN,
        "image_id": str(UUID(int=1)),
        "receipt_id": 1,
        "model": MODEL,
        "dimensions": DIMENSIONS,
        "texts": texts,
        "rows": [{"id": row_id(1, row), "text": row, "metadata": {"run_id": RUN}} for row in range(len(texts))],
    }


@pytest.mark.parametrize(
    ("texts", "number"),
    [(["a", "\ud800"], 1.0), (["a", "b"], 0.0), (["a", "b"], 1e30), (["a", "b"], float("nan"))],
    ids=["half of a surrogate pair", "a vector of zeros", "a vector too long for float32", "not a number"],
)
def test_a_delta_that_no_version_could_hold_fails_its_own_receipt_before_anything_is_written(world, texts, number):
    content = written(header(texts), np.full((2, DIMENSIONS), number, dtype=np.float32))
    bad, good = put_delta(world, content), world.run(2)
    world.merger().merge([bad, good])
    assert world.states(bad, good) == [RunState.FAILED, RunState.COMPLETED]
    assert (world.lines(bad).error or "").startswith(ErrorCode.DELTA_INVALID)
    assert world.readers() == [ids(2)] * 2


def test_a_delta_of_version_1_whose_run_is_unfinished_is_merged(world):
    given = [[row_id(1, row), "milk", {"run_id": RUN, "line_id": row + 1}] for row in range(2)]
    identity = {"collection": "lines", "run_id": RUN, "image_id": str(UUID(int=1)), "model": MODEL}
    content = version_1(given, np.ones((2, DIMENSIONS), dtype=np.float32), **identity)
    reference = put_delta(world, content, legacy_delta_key("lines", RUN))
    world.merger().merge([reference])
    assert world.states(reference) == [RunState.COMPLETED]
    assert published_texts(world) == dict.fromkeys(ids(1), "milk")


def current(world: MergeWorld) -> Pointer:
    found = read_current(world.root, "lines")
    assert found is not None
    return found


@pytest.mark.parametrize("layout", [0, 3])
def test_a_version_of_an_unknown_layout_is_refused_by_readers_and_by_the_merge(world, layout):
    world.merger().merge([world.run(1)])
    pointer = current(world).model_copy(update={"layout": layout})
    directory = version_path(world.root, "lines", pointer.version)
    with pytest.raises(PermanentError) as caught:
        open_published("lines", pointer, directory, world.path / "private")
    assert caught.value.code is ErrorCode.VERSION_UNSUPPORTED
    with pytest.raises(PermanentError) as caught:
        restore("lines", world.environment(), world.objects, pointer)
    assert caught.value.code is ErrorCode.VERSION_UNSUPPORTED


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another_dimension(path: Path) -> None:
    np.save(path, np.ones((2, DIMENSIONS + 1), dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (ROWS_NAME, cut),
        (ROWS_NAME, lambda path: path.write_text("no database " * 999)),
        (VECTORS_NAME, cut),
        (VECTORS_NAME, another_dimension),
    ],
    ids=["rows cut", "rows of text", "vectors cut", "vectors of another dimension"],
)
def test_a_reader_of_a_damaged_version_is_told_so_and_leaves_no_file_open(world, name, damage):
    world.merger().merge([world.run(1)])
    directory = version_path(world.root, "lines", current(world).version)
    damage(directory / name)
    with pytest.raises(PermanentError) as caught:
        open_published("lines", current(world), directory, world.path / "private")
    assert caught.value.code is ErrorCode.SNAPSHOT_CORRUPT


def statement(sql: str) -> Callable[[Path], None]:
    def execute(directory: Path) -> None:
        with closing(sqlite3.connect(directory / ROWS_NAME, isolation_level=None)) as connection:
            connection.execute(sql)

    return execute


def another_record(directory: Path) -> None:
    index = ChromaIndex.open(directory / INDEX_NAME, "lines")
    with closing(index):
        index.add(["somebody's"], np.ones((1, 3), dtype=np.float32))


def one_record_less(directory: Path) -> None:
    index = ChromaIndex.open(directory / INDEX_NAME, "lines")
    with closing(index):
        index.collection.delete(ids=[record_id("b")])


def a_vector_of_zeros(directory: Path) -> None:
    vectors = np.load(directory / VECTORS_NAME)
    vectors[1] = 0
    np.save(directory / VECTORS_NAME, vectors)


def one_vector_less(directory: Path) -> None:
    np.save(directory / VECTORS_NAME, np.load(directory / VECTORS_NAME)[:2])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (another_record, "1 records belong to no text"),
        (one_record_less, "1 texts have no record, for example 'b'"),
        (one_vector_less, "rows, texts, vectors and their digests are (3, 3, 2, 3)"),
        (a_vector_of_zeros, "have no direction"),
        (
            statement("DELETE FROM vectors WHERE position = 2"),
            "rows, texts, vectors and their digests are (3, 3, 3, 2)",
        ),
        (statement("DELETE FROM rows WHERE line_id = 2"), "receipts count other rows than they have"),
        (
            statement("UPDATE texts SET text = 'another' WHERE text = 'c'"),
            "1 texts have no record, for example 'another'",
        ),
    ],
    ids=["another record", "a record less", "a vector less", "zeros", "a digest less", "a row less", "another text"],
)
def test_a_copy_whose_files_disagree_is_unsound(tmp_path, damage, reason):
    copy = sealed_copy(tmp_path / "work", ["a", "b", "c"], np.eye(3, dtype=np.float32))
    inspection = inspection_of(copy, tmp_path)
    try:
        require_sound(inspection, judge(inspection))
        damage(copy.directory)
        with pytest.raises(RetryableError) as caught:
            require_sound(inspection, judge(inspection))
        assert caught.value.code is ErrorCode.SNAPSHOT_UNSOUND
        assert reason in str(caught.value)
    finally:
        copy.discard()


def test_an_index_with_the_vectors_of_other_texts_falls_short_of_recall(tmp_path):
    """Rows and index agree in number and in texts, and every search is wrong."""
    copy = sealed_copy(tmp_path / "work", ["a", "b", "c"], np.eye(3, dtype=np.float32))
    try:
        np.save(copy.directory / VECTORS_NAME, -np.ones((3, 3), dtype=np.float32) + np.eye(3, dtype=np.float32) / 2)
        inspection = inspection_of(copy, tmp_path)
        with pytest.raises(RetryableError) as caught:
            require_sound(inspection, judge(inspection))
        assert caught.value.code is ErrorCode.SNAPSHOT_RECALL
    finally:
        copy.discard()
