"""If these fail, a receipt that prints its merchant's name is filed under another, or under none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.merchants.names import KnownMerchant, index_names, likeness
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


def test_likeness_is_of_the_likeliest_first_line() -> None:
    assert likeness("GREENLEAF MARKET LTD", rows("Port Alden", "GREENLEAF", "MARKET")) == pytest.approx(100.0)
    assert likeness("GREENLEAF MARKET", rows()) == pytest.approx(0.0)


NAMES = st.lists(st.text(alphabet="ABCDE 17()&.", min_size=1, max_size=14), max_size=6)


@given(names=NAMES, lines=NAMES)
def test_the_order_of_known_names_does_not_matter_and_only_known_ones_are_answered(
    names: list[str], lines: list[str]
) -> None:
    answer = index_names(known(*names)).decide(rows(*lines))
    assert answer == index_names(known(*reversed(names))).decide(rows(*lines))
    assert answer.merchant_name is None or answer.merchant_name in names
