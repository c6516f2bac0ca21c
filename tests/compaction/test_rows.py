"""Rows and texts against a plain dictionary; a failure gives a row another text, or a text another vector."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.collections.database import CollectionDatabase
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import DERIVED, NewRow, RowName, parse_identifier
from pipeline.collections.vectors import VectorFile
from pipeline.contracts.identifiers import line_vector_id, word_vector_id
from pipeline.errors import ErrorCode, PermanentError
from tests.compaction.copies import execute_behind

KEYS = [ReceiptKey(str(UUID(int=number)), 1) for number in (1, 2, 3)]
TEXTS = ["milk", "Milk", "milk ", "caf\u00e9", "cafe\u0301", "", "\0", "a\0b", "a\0c", "x" * 100_000]
"""Texts that are easily taken for one another, and a long one."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[CollectionDatabase]:
    with closing(CollectionDatabase.create(tmp_path / "rows.sqlite3")) as made:
        yield made


def new_rows(key: ReceiptKey, texts: list[str], metadata: list[dict[str, Any]]) -> tuple[list[str], list[NewRow]]:
    distinct = list(dict.fromkeys(texts))
    rows = [
        NewRow(name=RowName(key, line, 0), text=distinct.index(text), metadata=fields)
        for line, (text, fields) in enumerate(zip(texts, metadata, strict=True), 1)
    ]
    return distinct, rows


def replace(database: CollectionDatabase, key: ReceiptKey, texts: list[str], **metadata: Any) -> list[int]:
    with database.transaction():
        return database.rows.replace(key, *new_rows(key, texts, [metadata] * len(texts)))


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "A", "1.5", "1", "caf\u00e9\0"]),
)
METADATA = st.dictionaries(
    st.sampled_from(["merchant_name", "merchant_source", "confidence", "x", "run_id", "page", "text_id"]), VALUES
)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("replace"),
            st.sampled_from(KEYS),
            st.lists(st.tuples(st.sampled_from(TEXTS[:-1]), METADATA), max_size=5),
        ),
        st.tuples(st.just("remove"), st.sampled_from(KEYS), st.none()),
        st.tuples(st.just("change"), st.sampled_from(KEYS), METADATA.filter(bool)),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=4))
def test_after_any_changes_rows_texts_and_vectors_are_the_dictionarys(tmp_path_factory, transactions):
    directory = tmp_path_factory.mktemp("rows")
    expected: dict[ReceiptKey, dict[str, tuple[str, dict[str, Any]]]] = {}
    with (
        closing(CollectionDatabase.create(directory / "rows.sqlite3")) as database,
        closing(VectorFile.create(directory / "v.npy", len(TEXTS))) as vectors,
    ):
        for steps in transactions:
            with database.transaction():
                for kind, key, given_value in steps:
                    if kind == "replace":
                        texts, rows = new_rows(
                            key, [text for text, _ in given_value], [item for _, item in given_value]
                        )
                        new = database.rows.replace(key, texts, rows)
                        vectors.append(vectors_of(texts)[new])
                        expected[key] = {row.name.identifier: (texts[row.text], dict(row.metadata)) for row in rows}
                    elif kind == "remove":
                        database.rows.remove(key)
                        expected[key] = {}
                    elif expected.get(key):
                        database.rows.change(key, given_value)
                        expected[key] = {
                            name: (text, metadata | given_value) for name, (text, metadata) in expected[key].items()
                        }
                removed = database.rows.remove_unused_texts()
                if removed is not None:
                    vectors.remove(removed.moves, removed.count)
            named = {name: row for rows in expected.values() for name, row in rows.items()}
            require_equal(database, vectors, named)


def vectors_of(texts: list[str]) -> np.ndarray:
    return np.eye(len(TEXTS), dtype=np.float32)[[TEXTS.index(text) for text in texts]].reshape(-1, len(TEXTS))


def require_equal(
    database: CollectionDatabase, vectors: VectorFile, expected: dict[str, tuple[str, dict[str, Any]]]
) -> None:
    found = {row.id: row for row in database.rows.all_rows()}
    read = {name: (row.text, strictly(row.metadata)) for name, row in found.items()}
    assert read == {name: (text, strictly(metadata)) for name, (text, metadata) in expected.items()}
    texts = database.rows.texts()
    assert sorted(texts) == sorted({text for text, _ in expected.values()})
    assert (database.rows.count, database.rows.text_count, len(vectors)) == (len(expected), len(texts), len(texts))
    for row in found.values():
        assert texts[row.position] == row.text
    assert np.array_equal(vectors.read(0, len(texts)), vectors_of(texts))
    database.rows.index_letters(0)
    assert list(database.rows.faults()) == []


def strictly(metadata: dict[str, Any]) -> dict[str, tuple[type, Any]]:
    """With types: 1, 1.0 and True are equal to Python."""
    return {name: (type(value), value) for name, value in metadata.items() if name not in DERIVED}


def test_texts_that_are_easily_taken_for_one_another_are_texts_of_their_own(database):
    replace(database, KEYS[0], TEXTS)
    assert database.rows.text_count == len(TEXTS)
    assert [row.text for row in database.rows.rows_of_receipt(KEYS[0])] == TEXTS
    assert database.rows.positions([*TEXTS, "MILK"]) == [*range(len(TEXTS)), None]


def test_the_last_texts_move_into_the_gaps_of_those_that_go(database):
    replace(database, KEYS[0], ["a", "b", "c"])
    replace(database, KEYS[1], ["d", "b", "e"])
    with database.transaction():
        database.rows.remove(KEYS[0])
        removed = database.rows.remove_unused_texts()
    assert removed is not None
    assert (dict(removed.moves), removed.count) == ({3: 0, 4: 2}, 3)
    assert database.rows.texts() == ["d", "b", "e"]
    assert database.rows.remove_unused_texts() is None


def test_a_text_of_two_receipts_stays_until_the_second_goes(database):
    assert replace(database, KEYS[0], ["a"]) == [0]
    assert replace(database, KEYS[1], ["a"]) == []
    for key, left in ((KEYS[0], ["a"]), (KEYS[1], [])):
        with database.transaction():
            database.rows.remove(key)
            database.rows.remove_unused_texts()
        assert database.rows.texts() == left


def test_thousands_of_texts_are_found_by_their_position_and_back(database):
    texts = [f"text {number}" for number in range(2_500)]
    random.Random(1).shuffle(texts)  # noqa: S311 - repeatable, not secret
    replace(database, KEYS[0], texts)
    assert database.rows.positions(texts) == list(range(len(texts)))
    assert database.rows.texts(700, 900) == texts[700:900]


def test_merchants_are_counted_by_receipt_and_say_whether_one_was_given(database):
    for key, fields in zip(
        KEYS,
        [
            {"merchant_name": "A", "merchant_source": "resolved"},
            {"merchant_name": "A", "merchant_source": "given"},
            {"merchant_name": "B", "merchant_source": "resolved"},
        ],
        strict=True,
    ):
        replace(database, key, ["x", "y"], **fields)
    found = [(merchant.name, merchant.receipts, merchant.given) for merchant in database.rows.merchants()]
    assert found == [("A", 2, True), ("B", 1, False)]
    assert database.rows.receipts_without_merchant(9) == []
    replace(database, KEYS[2], ["x"])
    assert database.rows.receipts_without_merchant(9) == [KEYS[2]]


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM rows WHERE line_id = 1", "receipts count other rows"),
        ("DELETE FROM texts WHERE position = 0", "rows have no text"),
        ("DELETE FROM receipts", "rows have no receipt"),
        ("UPDATE texts SET position = 9 WHERE position = 1", "positions are missing"),
        ("INSERT INTO texts (position, text) VALUES (2, 'c')", "texts have no row"),
        ("INSERT INTO texts_by_word(texts_by_word) VALUES ('delete-all')", "texts_by_word has 0 texts"),
    ],
)
def test_tables_that_disagree_are_told(database, statement, fault):
    replace(database, KEYS[0], ["a", "b"])
    database.rows.index_letters(0)
    assert list(database.rows.faults()) == []
    execute_behind(database, statement)
    assert fault in "; ".join(database.rows.faults())


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (line_vector_id(UUID(int=1), 1, 2), RowName(KEYS[0], 2, 0)),
        (word_vector_id(UUID(int=1), 123456, 2, 3), RowName(ReceiptKey(KEYS[0].image_id, 123456), 2, 3)),
        ("IMAGE#x#RECEIPT#00001#LINE#00001", None),
        (line_vector_id(UUID(int=1), 1, 2) + "\n", None),
        ("", None),
    ],
)
def test_an_identifier_names_a_row_or_nothing(identifier, expected):
    assert parse_identifier(identifier) == expected
    assert expected is None or expected.identifier == identifier


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE somebody (name TEXT)")


def other_layout(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE facts SET value = '3' WHERE name = 'layout'")


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (cut, ErrorCode.SNAPSHOT_CORRUPT),
        (foreign, ErrorCode.SNAPSHOT_CORRUPT),
        (lambda path: path.write_text("this is no database\n" * 99), ErrorCode.SNAPSHOT_CORRUPT),
        (lambda path: path.write_bytes(b""), ErrorCode.SNAPSHOT_CORRUPT),
        (lambda path: path.unlink(), ErrorCode.SNAPSHOT_CORRUPT),
        (other_layout, ErrorCode.VERSION_UNSUPPORTED),
    ],
    ids=["cut", "foreign", "text", "empty", "gone", "another layout"],
)
def test_a_file_that_is_no_such_database_is_refused_with_a_code(tmp_path, damage, code, writable):
    path = tmp_path / "rows.sqlite3"
    with closing(CollectionDatabase.create(path)) as database:
        replace(database, KEYS[0], [f"text {number}" for number in range(500)])
    damage(path)
    with pytest.raises(PermanentError) as caught:
        CollectionDatabase.open(path, writable=writable)
    assert caught.value.code is code
