"""If these fail, the wrong lines are asked who the merchant is, and a name at a receipt's top is overlooked."""

from collections.abc import Sequence

import pytest

from pipeline.contracts.artifacts import LineRow
from pipeline.contracts.ocr import BoundingBox
from pipeline.merchants.lines import FIRST_LINES, TELLING_LINES, first_lines, telling_lines
from tests.merchants.receipts import rows


def test_names_and_addresses_tell_and_amounts_dates_phones_do_not() -> None:
    lines = rows(
        "* * *", "GREENLEAF MARKET", "Tel 555-0142", "03/14/2026 17:42", "Harbor View Road", "TOTAL 9.00", "12.40"
    )
    assert telling_lines(lines) == [1, 4]


def test_the_box_and_not_the_order_says_what_is_on_top() -> None:
    assert telling_lines(rows("Harbor View Road", "GREENLEAF MARKET", places=[2, 1])) == [1, 0]


def test_a_long_receipt_asks_no_more_than_its_top() -> None:
    assert telling_lines(rows(*["Harbor View Road"] * 150)) == list(range(TELLING_LINES))


def test_a_short_name_in_chinese_characters_tells() -> None:
    assert telling_lines(rows("さくら")) == [0]


def test_a_receipt_without_a_telling_line_asks_nothing() -> None:
    assert telling_lines(rows("12.40", "")) == []


def test_the_first_lines_are_those_of_the_document_and_those_from_the_top_down() -> None:
    footer_first = rows("SEE YOU SOON", "GREENLEAF MARKET", "Harbor View Road", places=[3, 1, 2])
    assert first_lines(footer_first) == ([0, 1, 2], [1, 2, 0])


def test_one_order_is_enough_where_both_agree() -> None:
    assert first_lines(rows("GREENLEAF MARKET", "Harbor View Road")) == ([0, 1],)


def test_untelling_lines_are_among_the_first_and_noise_is_not() -> None:
    lines = rows("* * *", "TAX INVOICE", "CASH AND CARRY", *["Harbor View Road"] * 9)
    assert first_lines(lines) == ([1, 2, 3, 4, 5, 6, 7],)


def test_a_receipt_of_prices_is_not_read_to_its_end() -> None:
    assert first_lines(rows(*["TOTAL 12.40"] * 99)) == (list(range(FIRST_LINES)),)


@pytest.mark.parametrize(
    "item",
    [
        "Sourdough loaf 5.95",
        "2 croissants au beurre    2,60 €",
        "Butter croissant  1,234.50 SR",
        "Rye bread RM 4.10",
        "コーヒー豆 ¥1,200",
        "Oat milk $4",
    ],
)
def test_an_item_with_its_price_does_not_tell(item: str) -> None:
    assert telling_lines(rows("HARBOR BAKERY", item, "19 Quay Road")) == [0, 2]


@pytest.mark.parametrize("line", ["Quay Road 19", "35400 Saint-Malo", "LOT 18-A Millrace", "Level 6.5", "Shop 12"])
def test_a_number_that_is_no_amount_takes_no_line_away(line: str) -> None:
    assert telling_lines(rows("HARBOR BAKERY", line)) == [0, 1]


def placed(*lines: tuple[str, float, float]) -> Sequence[LineRow]:
    """Lines by text, left edge and top edge, each 0.02 high."""
    return [
        LineRow(
            line_id=number,
            text=text,
            confidence=0.9,
            bounding_box=BoundingBox(x=x, y=y, width=0.2, height=0.02),
            is_noise=False,
        )
        for number, (text, x, y) in enumerate(lines, 1)
    ]


def test_a_price_to_the_right_on_the_same_row_makes_an_item_also_on_a_page_that_lies_a_little_tilted() -> None:
    lines = placed(("HARBOR BAKERY", 0.1, 0.1), ("Sourdough loaf", 0.1, 0.2), ("RM 5.95", 0.7, 0.208))
    assert telling_lines(lines) == [0]


@pytest.mark.parametrize(("x", "y"), [(0.7, 0.215), (0.0, 0.2)], ids=["on the next row", "to the left"])
def test_a_price_elsewhere_makes_no_item(x: float, y: float) -> None:
    lines = placed(("HARBOR BAKERY", 0.1, 0.1), ("19 Quay Road", 0.1, 0.2), ("5.95", x, y))
    assert telling_lines(lines) == [0, 1]


def test_no_other_line_comes_in_an_items_place() -> None:
    items = [f"Loaf {name} 5.95" for name in ("white", "brown", "rye", "spelt")]
    assert telling_lines(rows("HARBOR BAKERY", *items, "SEE YOU SOON")) == [0]
