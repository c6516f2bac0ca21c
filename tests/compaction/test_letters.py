"""Folding and queries of the letters; a failure hides a text from who types it another way, or breaks the query."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.collections.letters import (
    TRIGRAM,
    TRIGRAMS_ASKED,
    WORDS_ASKED,
    closeness,
    fold_text,
    literal_query,
    nearly,
    trigram_query,
    word_query,
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  OAT \t milk\n", "oat milk"),
        ("Caf\u00e9", "cafe"),
        ("Cafe\u0301", "cafe"),
        ("STRASSE", "strasse"),
        ("Stra\u00dfe", "strasse"),
        ("\ufb01sh \u2460", "fish 1"),
        ("a\0b", "a b"),
        ("\u00c5 & S\u00d8NS", "a & s\u00f8ns"),
        ("", ""),
        ("\u0301", ""),
        ("\U0001d4d0", "a"),
    ],
)
def test_case_accents_blanks_and_forms_do_not_matter(text, folded):
    assert fold_text(text) == folded


@given(st.text())
def test_folding_twice_is_folding_once(text):
    assert fold_text(fold_text(text)) == fold_text(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_text_makes_a_query_that_sqlite_can_read_and_that_finds_the_text(text):
    folded = fold_text(text)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE t USING fts5(letters, content='', tokenize='trigram')")
        connection.execute("CREATE VIRTUAL TABLE w USING fts5(letters, content='', tokenize='unicode61')")
        for table in "tw":
            connection.execute(f"INSERT INTO {table} (rowid, letters) VALUES (1, ?)", (folded,))  # noqa: S608 - ours

        def finds(table: str, query: str) -> bool:
            statement = f"SELECT rowid FROM {table} WHERE {table} MATCH ?"  # noqa: S608 - ours
            return connection.execute(statement, (query,)).fetchall() == [(1,)]

        literal = literal_query(folded)
        for table, query in (
            ("t", trigram_query(folded)),
            ("w", word_query(folded)),
            *([("t" if literal[0] else "w", literal[1])] if literal else []),
        ):
            # Signs alone are no word, so they are found as trigrams or not at all.
            assert query is None or finds(table, query) or table == "w"


def test_a_long_query_asks_a_bounded_number_of_terms_from_all_over_it():
    query = trigram_query("".join(chr(ord("a") + number % 26) + str(number) for number in range(5_000)))
    assert query is not None
    assert query.count(" OR ") == TRIGRAMS_ASKED - 1
    words = word_query(" ".join(f"word{number}" for number in range(100)))
    assert words is not None
    assert words.count(" OR ") == WORDS_ASKED - 1


def test_too_few_letters_have_no_trigram_and_quotes_are_letters():
    assert trigram_query("ab") is None
    assert trigram_query("abc") == '"abc"'
    assert word_query("") is None
    assert literal_query("") is None
    assert literal_query("ab") == (False, '"ab"')
    assert literal_query('a"b') == (True, '"a""b"')
    assert len('a"b') == TRIGRAM


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.50", 0), ("TOTAL 1.50", 1), ("RM1.50", 1), ("11.50", 2), ("1.505", 2), ("1.50,00", 2), ("(1.50)", 1)],
)
def test_a_number_is_told_from_the_longer_ones_that_it_stands_in(text, expected):
    assert closeness("1.50", text) == expected


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("tax amont", "TAX AMOUNT"),
        ("tax ammount", "TAX AMOUNT"),
        ("tax anount", "TAX AMOUNT"),
        ("tax amuont", "TAX AMOUNT"),
        ("creme brule", "CRÈME BRÛLÉE"),
        ("TABLE 12", "TABEL 12"),
        ("oat  milk", "OAT MILK"),
    ],
)
def test_one_typing_error_is_forgiven(query, text):
    assert nearly(query, {7: text}) == [7]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("tax amot", "TAX AMOUNT"),
        ("12.50", "12.60"),
        ("table 12", "TABLE 13"),
        ("total 12.50", "TOTAL 12.5"),
        ("tea", "TEN"),
        ("", "A"),
        ("oat milk", "OAT MILK 1L"),
    ],
)
def test_two_errors_another_number_and_what_is_too_short_are_not(query, text):
    assert nearly(query, {7: text}) == []


@pytest.mark.parametrize("text", ["", "\0A\tb  C\n", "\x1c x \x1f", "".join(map(chr, range(128)))])
def test_folding_ascii_alone_is_the_same_as_folding_it_as_any_other(text):
    # A character of no ASCII behind it takes the other way.
    assert fold_text(f"{text} é") == f"{fold_text(text)} e".strip()
