"""If these fail, a receipt that prints its merchant's name is filed under another, or under none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.merchants.names import KnownMerchant, Support, index_names
from tests.merchants.receipts import rows


def known(*names: str, receipts: int = 1, is_given: bool = True) -> list[KnownMerchant]:
    return [KnownMerchant(name=name, receipts=receipts, given=is_given) for name in names]


def decide(merchants: list[KnownMerchant], *texts: str) -> str | None:
    return index_names(merchants).decide(rows(*texts)).merchant_name


ADDRESS = ("412 Harbor View Road", "Port Alden, OR 97420", "Tel (541) 555-0142")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("GREENLEAF MARKET", ("Greenleaf Market",)),
        ("GREENLEAF MARKET", ("* * *", "J. CUSTOMER", "GREENLEAF MARKET")),
        ("GREENLEAF MARKET SDN BHD", ("GREENLEAF MARKET",)),
        ("GREENLEAF MARKET", ("GREENLEAF MARKET SDN. BHD. (123456-X)",)),
        ("GREENLEAF MARKET SDN BHD", ("GREENLEAF MARKET", "SDN BHD")),
        ("GREENLEAF ORGANIC MARKET", ("GREENLEAF", "ORGANIC MARKET")),
        ("GREENLEAF ORGANIC MARKET (ALDEN) SDN BHD", ("GREENLEAF ORGANIC", "MARKET (ALD", "EN) SDN BHD")),
        ("CAFÉ LUMIÈRE", ("CAFE LUMIERE",)),
        ("CASH AND CARRY", ("TAX INVOICE", "CASH AND CARRY")),
        ("KFC", ("KFC",)),
        ("さくら", ("さくら",)),
    ],
)
def test_a_name_among_the_first_lines_decides(name: str, lines: tuple[str, ...]) -> None:
    assert decide(known(name, "HOLLOW OAK HARDWARE"), *lines, *ADDRESS) == name


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("GREENLEAF MARKET", "GREENLEAF MARKFT"),
        ("BOULANGERIE DU VIEUX MOULIN", "B0ULANGERIE DU VIEUX MOULlN"),
        ("Bäckerei Müller & Söhne", "Backerei Mu1ler & Söhne"),
        ("CAFÉ LUMIÈRE", "CAFE LUM1ERE"),
        ("さくら商店 SAKURA SHOTEN", "さくら商店 SAKURA SH0TEN"),
    ],
)
def test_a_misread_letter_does_not_hide_a_name(name: str, line: str) -> None:
    assert decide(known(name, "HOLLOW OAK HARDWARE"), line, *ADDRESS) == name


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (("A1",), ("A1", "A1 AREA", "LOT A1")),
        (("OAK",), ("OAKS", "OAK STREET 1")),
        (("OAKTREE",), ("OAKFREE",)),
        (("TAX INVOICE", "CASH BILL", "RECEIPT"), ("TAX INVOICE", "CASH BILL", "RECEIPT")),
        (("GREENLEAF MARKET 7",), ("GREENLEAF MARKET 1",)),
        (("GREENLEAF (NORTH) SDN BHD",), ("GREENLEAF (SOUTH) SDN BHD",)),
        (("GREENLEAF GMBH",), ("GREENLEAF AG",)),
        (("GREENLEAF (NORTH)", "GREENLEAF (SOUTH)"), ("GREENLEAF",)),
        (("GREENLEAF MARKET", "HOLLOW OAK HARDWARE"), ("GREENLEAF MARKET", "HOLLOW OAK HARDWARE")),
        (("GREENLEAF MARKET A", "GREENLEAF MARKET B"), ("GREENLEAF MARKET C",)),
        (("GREENLEAF MARKET",), ("1", "2", "3", *["Some Other Shop"] * 5, "GREENLEAF MARKET")),
    ],
    ids=[
        "too short",
        "three letters are exact or nothing",
        "one letter of a short name",
        "what stands on every receipt",
        "another number",
        "another branch",
        "another company",
        "which branch",
        "two are named",
        "two are equally alike",
        "too far down",
    ],
)
def test_where_a_name_does_not_tell_nothing_is_decided_and_the_reason_is_given(
    names: tuple[str, ...], lines: tuple[str, ...]
) -> None:
    decision = index_names(known(*names)).decide(rows(*lines))
    assert decision.merchant_name is None
    assert decision.reason


def test_a_footer_that_the_document_has_first_hides_no_name() -> None:
    footer = [f"Terms and conditions part {number}" for number in range(9)]
    lines = rows(*footer, "GREENLEAF MARKET", places=[*range(1, 10), 0])
    assert index_names(known("GREENLEAF MARKET")).decide(lines).merchant_name == "GREENLEAF MARKET"


def test_a_rotated_scan_hides_no_name() -> None:
    lines = rows("GREENLEAF MARKET", *["Harbor View Road"] * 9, places=range(10, 0, -1))
    assert index_names(known("GREENLEAF MARKET")).decide(lines).merchant_name == "GREENLEAF MARKET"


def test_a_joined_name_outweighs_the_name_that_is_a_part_of_it() -> None:
    assert decide(known("GREENLEAF", "GREENLEAF HARDWARE"), "GREENLEAF", "HARDWARE") == "GREENLEAF HARDWARE"


def test_the_branch_that_is_printed_decides_between_branches() -> None:
    branches = known("GREENLEAF (NORTH) SDN BHD", "GREENLEAF (SOUTH) SDN BHD")
    assert decide(branches, "GREENLEAF (SOUTH) SDN BHD (123456-X)") == "GREENLEAF (SOUTH) SDN BHD"


def test_of_two_spellings_the_printed_one_is_used_then_the_given_then_the_frequent() -> None:
    spellings = [
        *known("GREENLEAF MARKET"),
        *known("GREENLEAF MARKET SDN", receipts=9, is_given=False),
        *known("GREENLEAF MARKET SDN BHD", receipts=2),
    ]
    assert decide(spellings, "GREENLEAF MARKET") == "GREENLEAF MARKET"
    assert decide(spellings, "GREENLEAF MARKET (NORTH)") == "GREENLEAF MARKET"
    assert decide(spellings[1:], "GREENLEAF MARKET") == "GREENLEAF MARKET SDN BHD"


def test_a_guess_spreads_by_the_exact_name_and_never_by_likeness() -> None:
    guess = known("GREENLEAF MARKET", is_given=False)
    assert decide(guess, "GREENLEAF MARKET") == "GREENLEAF MARKET"
    assert decide(guess, "GREENLEAF MARKFT") is None


def support(merchants: list[KnownMerchant], name: str, *texts: str) -> Support:
    return index_names(merchants).support(name, rows(*texts))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("GREENLEAF MARKET LTD", ("Port Alden", "GREENLEAF", "MARKET")),
        ("GREENLEAF MARKET", ("GREENLFAE MARKET",)),
        ("CORNER BAKERY", ("C0RNFR BAKFRY",)),
        ("THE BAKERY", ("THE BAKERY",)),
        ("GREENLEAF (NORTH)", ("GREENLEAF (SOUTH)", "GREENLEAF (NORTH)")),
        ("77 GREENLEAF MART S/B", ("77 GREENLEAF MART S/8 (519537-X)",)),
    ],
    ids=[
        "over two lines",
        "two misread letters",
        "also of its trade",
        "nothing but its trade",
        "one branch of two",
        "a digit for a letter of its legal form",
    ],
)
def test_a_merchant_is_named_by_a_line_that_is_like_the_words_that_tell_it(name: str, lines: tuple[str, ...]) -> None:
    assert support(known(name), name, *lines, *ADDRESS) is Support.NAMED


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("CORNER BAKERY", ("HARBOR BAKERY",)),
        ("GREENLEAF RESTAURANTS LTD", ("ACORN HALL RESTAURANTS LTD",)),
        ("GREENLEAF MARKET", ("HOLLOW OAK", "SDN BHD")),
        ("GREENLEAF (NORTH)", ("GREENLEAF (SOUTH)",)),
        ("GREENLEAF GMBH", ("GREENLEAF AG",)),
        ("GREENLEAF MARKET 7", ("GREENLEAF MARKET 1",)),
    ],
    ids=["of the same trade", "a company", "a company over two lines", "branch", "legal form", "number"],
)
def test_another_company_or_branch_is_told_from_the_merchant(name: str, lines: tuple[str, ...]) -> None:
    assert support(known(name), name, *lines, *ADDRESS) is Support.OTHER_NAMED


@pytest.mark.parametrize("lines", [(), ADDRESS, ("***",), ("BAKERY", *ADDRESS), ("Fresh every day", *ADDRESS)])
def test_lines_without_a_name_say_nothing(lines: tuple[str, ...]) -> None:
    assert support(known("CORNER BAKERY"), "CORNER BAKERY", *lines) is Support.UNNAMED


def test_a_word_that_several_known_names_have_tells_none_of_them() -> None:
    station, line = "SUNPETROL MILLRACE", "SUNPETROL PORT ALDEN"
    assert support(known(station), station, line) is Support.NAMED
    assert support(known(station, "SUNPETROL HARBOR"), station, line) is Support.UNNAMED


def test_a_long_trade_does_not_make_another_name_nearly_the_same() -> None:
    name = "ABC ELECTRICAL TRADING ENTERPRISE"
    assert decide(known(name), "ABC ELECTR1CAL TRAD1NG ENTERPR1SE", *ADDRESS) == name
    assert decide(known(name), "XYZ ELECTRICAL TRADING ENTERPRISE", *ADDRESS) is None


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("OAKTREE", "0AKTREE"),
        ("HOLLOW OAK SUPPLIES", "H0LL0W 0AK 5UPPL1E5"),
        ("CORNER BAKERY", "COMER BAKERY"),
        ("OAK D.I.Y.", "OAK D.1.Y."),
        ("GREENLEAF MARKET SDN BHD", "GREENLEAF MARKET SDN BHD 273500-U"),
        ("GREENLEAF MARKET", "GREENLEAF MARKET S/B 273500-U (KJ1)"),
    ],
    ids=[
        "short",
        "in every word",
        "two letters as one",
        "a letter that stands alone",
        "registration number",
        "and the number of a branch",
    ],
)
def test_letters_that_look_alike_and_registration_numbers_hide_no_name(name: str, line: str) -> None:
    assert decide(known(name, "ACORN HARDWARE"), line, *ADDRESS) == name


def test_two_names_that_look_alike_decide_nothing_by_a_third() -> None:
    assert decide(known("BELLINI SHOES", "BE1LINI SHOES"), "BELL1NI SHOES") is None


NAMES = st.lists(st.text(alphabet="ABCDE 17()&.", min_size=1, max_size=14), max_size=6)


@given(names=NAMES, lines=NAMES)
def test_the_order_of_known_names_does_not_matter_and_only_known_ones_are_answered(
    names: list[str], lines: list[str]
) -> None:
    answer = index_names(known(*names)).decide(rows(*lines))
    assert answer == index_names(known(*reversed(names))).decide(rows(*lines))
    assert answer.merchant_name is None or answer.merchant_name in names
