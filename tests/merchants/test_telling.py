"""If these fail, two shops of one trade are taken for each other, because their names share the trade's letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.merchants.spelling import spell
from pipeline.merchants.telling import TRADE_WORDS, likeness, shape, share_a_trade, shared_words


def like(known: str, read: str, *shared: str) -> float:
    return likeness(spell(known), spell(read), frozenset(shared))


@pytest.mark.parametrize(
    ("known", "read"),
    [
        ("CORNER BAKERY", "HARBOR BAKERY"),
        ("ABC ELECTRICAL", "XYZ ELECTRICAL"),
        ("OAK CAFE", "ELM CAFE"),
    ],
)
def test_the_trade_makes_no_likeness(known: str, read: str) -> None:
    assert like(known, read) < 40


@pytest.mark.parametrize(
    ("known", "read"),
    [
        ("CORNER BAKERY", "C0RNER BAKERY"),
        ("POPULAR BOOK", "POPULAR BOOL"),
        ("THE BAKERY", "THE BAKERY"),
        ("GREENLEAF MARKET", "GREENLEAF"),
    ],
    ids=["look-alike letter", "misread trade", "nothing but trade", "without its trade"],
)
def test_a_misread_or_missing_trade_does_not_matter(known: str, read: str) -> None:
    assert like(known, read) == pytest.approx(100.0)


def test_shared_words_are_left_out() -> None:
    assert like("SUNPETROL MILLRACE", "SUNPETROL PORT ALDEN") > like(
        "SUNPETROL MILLRACE", "SUNPETROL PORT ALDEN", "sunpetrol"
    )


@pytest.mark.parametrize("known", ["", "***"])
def test_a_name_without_a_letter_is_like_nothing(known: str) -> None:
    assert like(known, "") == 0.0


def test_words_of_several_merchants_are_shared_and_those_of_two_spellings_are_not() -> None:
    names = [
        "SUNPETROL MILLRACE",
        "SUNPETROL ALDEN",
        "TEO HENG STATIONER",
        "TED HENG STATIONER",
        "GREENLEAF LTD",
        "GREENLEAF",
    ]
    assert shared_words(map(spell, names)) == {"sunpetrol"}


def test_a_shop_of_the_same_trade_has_the_trade_and_a_name_beside_it() -> None:
    bakery = spell("CORNER BAKERY")
    assert share_a_trade(bakery, spell("HARBOR BAKERY"))
    assert not share_a_trade(bakery, spell("BAKERY"))
    assert not share_a_trade(bakery, spell("THE BAKERY CAFE"))
    assert not share_a_trade(bakery, spell("HARBOR HARDWARE"))


def test_trades_are_written_as_names_are_spelled() -> None:
    assert all(spell(word).words == (word,) for word in TRADE_WORDS)


@given(st.text())
def test_a_shape_has_no_other_shape(text: str) -> None:
    assert shape(shape(text)) == shape(text)


@given(st.text(), st.text())
def test_likeness_is_a_percentage(known: str, read: str) -> None:
    assert 0.0 <= like(known, read) <= 100.0
