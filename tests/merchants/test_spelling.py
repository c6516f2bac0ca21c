"""If these fail, two companies become one merchant, or one merchant two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.merchants.spelling import merchant_key, spell


@pytest.mark.parametrize(
    ("text", "core"),
    [
        ("Greenleaf Market", "greenleafmarket"),
        ("GREENLEAF MARKET SDN. BHD.", "greenleafmarket"),
        ("GREENLEAF MARKET SDN.BHD", "greenleafmarket"),
        ("GREENLEAF MARKET S/B (123456-X)", "greenleafmarket"),
        ("GREENLEAF MARKET (PORT ALDEN) SDN BHD", "greenleafmarket"),
        ("GREENLEAF MARKET SDN BHD (123456", "greenleafmarket"),
        ("Greenleaf Market, Inc.", "greenleafmarket"),
        ("Greenleaf Market Co., Ltd.", "greenleafmarket"),
        ("Müller & Söhne GmbH & Co. KG", "mullersohne"),
        ("BOULANGERIE DU MOULIN S.A.R.L.", "boulangeriedumoulin"),
        ("Pasticceria Rossi S.p.A.", "pasticceriarossi"),
        ("株式会社さくら商店", "さくら商店"),
        ("(株)さくら商店", "さくら商店"),
        ("\uff27\uff32\uff25\uff25\uff2e\uff2c\uff25\uff21\uff26", "greenleaf"),
        ("(GREENLEAF MARKET)", "greenleafmarket"),
        ("H.O.L. OAK", "holoak"),
    ],
)
def test_legal_forms_brackets_case_accents_and_width_are_no_part_of_a_name(text: str, core: str) -> None:
    assert spell(text).core == core


@pytest.mark.parametrize(
    "text", ["LIMITED", "SUNRISE SPA", "CASA", "COSTA", "INCA"], ids=["alone", "a word", "ends alike", "ends", "begins"]
)
def test_words_that_only_look_like_legal_forms_stay(text: str) -> None:
    assert spell(text).core == text.replace(" ", "").casefold()


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        ("OAK SDN BHD", "OAK S/B", True),
        ("OAK SDN BHD", "OAK BERHAD", True),
        ("OAK LIMITED", "OAK LTD", True),
        ("OAK LTD", "OAK", True),
        ("OAK GMBH", "OAK AG", False),
        ("OAK (NORTH)", "OAK (SOUTH)", False),
        ("OAK (NORTH)", "OAK", True),
        ("OAK (12345-X)", "OAK (67890-Y)", True),
    ],
)
def test_what_is_missing_says_nothing_and_what_differs_is_another_company(first: str, second: str, agree: bool) -> None:
    assert spell(first).agrees_with(spell(second)) is agree
    assert spell(second).agrees_with(spell(first)) is agree


@pytest.mark.parametrize("text", ["TAX INVOICE", "Cash Bill", "SALES RECEIPT 2", "THE SHOP LTD", "A1", "12", "", "***"])
def test_what_stands_on_anybodys_receipt_is_not_distinctive(text: str) -> None:
    assert not spell(text).is_distinctive


def test_a_dakuten_is_no_accent() -> None:
    assert spell("がらす").core != spell("からす").core


@given(st.text())
def test_any_text_has_a_spelling_and_a_key(text: str) -> None:
    spelling = spell(text)
    assert all(spelling.words)
    assert spelling.agrees_with(spelling)
    assert merchant_key(text) or not text


@given(st.lists(st.sampled_from(["greenleaf", "oak", "ltd", "(north)", "(1-x)", "s/b", "&", "co.", "7"]), min_size=1))
def test_case_does_not_matter(words: list[str]) -> None:
    text = " ".join(words)
    assert spell(text.upper()) == spell(text)
