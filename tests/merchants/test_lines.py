"""If these fail, the wrong lines are asked who the merchant is, and a name at a receipt's top is overlooked."""

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
