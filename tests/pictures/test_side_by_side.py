"""If these fail, one receipt is torn in two, or two shops become one; and a needless warning is read by nobody."""

import numpy as np
import pytest

from upload_images.formats.recognized import Box, RecognizedLine, RecognizedWord
from upload_images.pictures.side_by_side import find_gaps, find_ink_gaps, has_text, is_whole_receipt, joined_gaps


def lines(*rows: tuple[tuple[float, float], ...], confidence: float = 0.9) -> list[RecognizedLine]:
    """A line for each row of words, which are given by their left and right edges."""
    return [
        RecognizedLine(
            words=tuple(
                RecognizedWord(
                    text="word",
                    box=Box(left=left, top=20 * number, right=right, bottom=20 * number + 15),
                    confidence=confidence,
                )
                for left, right in row
            )
        )
        for number, row in enumerate(rows)
    ]


TWO_COLUMNS = ((0.0, 150.0), (160.0, 400.0), (600.0, 750.0), (760.0, 1_000.0))


def test_a_gap_all_the_way_down_with_as_much_on_either_side_are_two() -> None:
    (gap,) = find_gaps(lines(*[TWO_COLUMNS] * 8))
    assert 400 < gap < 600


def test_a_heading_across_the_gap_makes_it_one() -> None:
    assert find_gaps(lines(((300.0, 700.0),), *[TWO_COLUMNS] * 8)) == []


def test_a_column_of_prices_is_no_receipt() -> None:
    assert find_gaps(lines(*[((0.0, 100.0), (110.0, 200.0), (210.0, 300.0), (800.0, 900.0))] * 10)) == []


def test_dirt_at_the_edge_is_no_receipt() -> None:
    dirt = lines(*[((0.0, 20.0), (22.0, 40.0))] * 20, confidence=0.2)
    assert find_gaps([*dirt, *lines(*[((500.0, 600.0), (610.0, 900.0))] * 20)]) == []


def test_of_a_few_words_nothing_is_said() -> None:
    assert find_gaps(lines(*[TWO_COLUMNS] * 4)) == []
    assert find_gaps([]) == []


def test_the_widest_gap_comes_first_and_that_before_the_prices_is_among_them() -> None:
    row = ((0.0, 150.0), (160.0, 300.0), (480.0, 520.0), (600.0, 740.0), (750.0, 1_000.0))
    assert find_gaps(lines(*[row] * 8)) == [390.0, 560.0]


def ink(*stretches: tuple[int, float]) -> np.ndarray:
    """Columns of pixels, by how many there are and how dark they are."""
    return np.concatenate([np.full(count, share) for count, share in stretches])


def test_paper_between_two_stretches_of_ink_is_a_gap() -> None:
    assert find_ink_gaps(ink((20, 0.0), (300, 0.1), (50, 0.001), (300, 0.05), (20, 0.0))) == [pytest.approx(344.5)]


@pytest.mark.parametrize(
    "columns",
    [
        ink((600, 0.0)),
        ink((600, 0.1)),
        ink((300, 0.1), (10, 0.0), (300, 0.1)),
        ink((300, 0.1), (50, 0.02), (300, 0.1)),
        ink((60, 0.5), (50, 0.0), (500, 0.1)),
        ink((500, 0.1), (50, 0.0), (200, 0.02)),
    ],
    ids=["paper", "one stretch", "too narrow", "a heading across it", "a shadow at the edge", "hardly any ink"],
)
def test_other_ink_has_no_gap(columns: np.ndarray) -> None:
    assert find_ink_gaps(columns) == []


def test_a_gap_of_words_and_ink_is_tried_once_and_no_more_than_a_few_are() -> None:
    assert joined_gaps([400.0, 200.0], [390.4, 600.6]) == [400, 200, 601]
    assert joined_gaps([100.0, 200.0, 300.0], [400.0, 500.0, 600.0]) == [100, 200, 300, 400, 500]


def said(*texts: str, confidence: float = 0.9) -> list[RecognizedLine]:
    """Lines of these texts."""
    return [
        RecognizedLine(words=tuple(RecognizedWord(text=word, box=None, confidence=confidence) for word in text.split()))
        for text in texts
    ]


HEAD, ITEMS = ("HOLLOW OAK", "88 Millrace Lane"), ("Wood screws 6.49", "Masking tape 2.75")


@pytest.mark.parametrize("total", ["TOTAL 9.24", "T0TAL: 9.24", "Summe EUR 9,24", "MONTANT 9,24", "Subtotals 9.24"])
def test_a_side_with_head_amounts_and_total_is_a_whole_receipt(total: str) -> None:
    assert is_whole_receipt(said(*HEAD, *ITEMS, total))


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("6.49", "2.75", "3.20", "1.10", "12.44"),
        ("RM", "6.49", "2.75", "3.20", "TOTAL 12.44"),
        (*HEAD, "Wood screws", "Masking tape", "TOTAL"),
        (*HEAD, *ITEMS, "THANK YOU"),
        ("HOLLOW OAK", "Wood screws 6.49", "TOTAL 6.49"),
    ],
    ids=["nothing", "prices", "prices with their heading", "without its prices", "no total", "too few lines"],
)
def test_a_side_that_may_be_a_column_is_no_whole_receipt(texts: tuple[str, ...]) -> None:
    assert not is_whole_receipt(said(*texts))


def test_what_was_read_without_confidence_is_no_text() -> None:
    assert not is_whole_receipt(said(*HEAD, *ITEMS, "TOTAL 9.24", confidence=0.3))
    assert not has_text([*said(*["word"] * 20), *said(*["dirt"] * 21, confidence=0.3)])
    assert has_text([*said(*["word"] * 20), *said(*["dirt"] * 20, confidence=0.3)])
    assert not has_text(said(*["word"] * 19))
