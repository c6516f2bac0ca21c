"""If these fail, receipts are filed under the wrong merchant, and the next ones follow them there."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from pipeline.contracts.artifacts import LineRow
from pipeline.contracts.ocr import BoundingBox
from pipeline.merchants.lines import TELLING_LINES, telling_lines
from pipeline.merchants.vote import vote


@dataclass(frozen=True, kw_only=True)
class Found:
    distance: float
    metadata: Mapping[str, str | int | float | bool]


def found(name: str | None, similarity: float, source: str = "given") -> Found:
    metadata = {} if name is None else {"merchant_name": name, "merchant_source": source}
    return Found(distance=1.0 - similarity, metadata=metadata)


def rows(*texts: str, upwards: bool = False) -> list[LineRow]:
    places = range(len(texts))
    return [
        LineRow(
            line_id=place + 1,
            text=text,
            confidence=0.9,
            bounding_box=BoundingBox(
                x=0.1, y=(len(texts) - place if upwards else place) / (len(texts) + 1), width=0.5, height=0.01
            ),
            is_noise=not any(character.isalnum() for character in text),
        )
        for place, text in zip(places, texts, strict=True)
    ]


def test_names_and_addresses_tell_and_amounts_dates_phones_do_not() -> None:
    lines = rows(
        "* * *", "GREENLEAF MARKET", "Tel 555-0142", "03/14/2026 17:42", "Harbor View Road", "TOTAL 9.00", "12.40"
    )
    assert telling_lines(lines) == [1, 4]


def test_the_box_and_not_the_order_says_what_is_on_top() -> None:
    assert telling_lines(rows("Harbor View Road", "GREENLEAF MARKET", upwards=True)) == [1, 0]


def test_a_long_receipt_asks_no_more_than_its_top() -> None:
    assert telling_lines(rows(*["Harbor View Road"] * 150)) == list(range(TELLING_LINES))


def test_a_short_name_in_chinese_characters_tells() -> None:
    assert telling_lines(rows("さくら")) == [0]


def test_a_receipt_without_a_telling_line_asks_nothing() -> None:
    assert telling_lines(rows("12.40", "")) == []


def test_near_neighbours_of_one_merchant_win() -> None:
    decision = vote([[found("A", 0.98), found("A", 0.9)], [found("A", 0.9), found("B", 0.2)]])
    assert decision.merchant_name == "A"
    assert decision.confidence == pytest.approx(1.0)


@pytest.mark.parametrize(
    "neighbours",
    [
        [],
        [[]],
        [[found("A", 0.3)]],
        [[found(None, 1.0)]],
        [[found("A", 0.95), found("B", 0.95)]],
        [[found("A", 1.0)], [found("B", 1.0)]],
        [[found("A", 1.0, "resolved")]],
    ],
    ids=["no lines", "no neighbours", "too far", "nameless", "shared line", "split", "one guess"],
)
def test_without_a_clear_winner_there_is_no_name_and_a_reason(neighbours: list[list[Found]]) -> None:
    decision = vote(neighbours)
    assert decision.merchant_name is None
    assert decision.reason


def test_a_given_name_outweighs_a_resolved_one() -> None:
    line = [found("A", 0.95), found("B", 0.95, "resolved")]
    assert vote([line, line, line]).merchant_name == "A"


def test_a_chain_with_many_receipts_does_not_outvote_by_their_number() -> None:
    once = vote([[found("A", 0.99), found("B", 0.9)], [found("A", 0.99)]])
    often = vote([[found("A", 0.99), *[found("B", 0.9)] * 19], [found("A", 0.99)]])
    assert often == once


def test_spellings_of_one_merchant_vote_together() -> None:
    decision = vote([[found("MR. D.I.Y.", 0.95), found("MR DIY", 0.9)], [found("MR. D.I.Y.", 0.95)]])
    assert decision.merchant_name == "MR. D.I.Y."
