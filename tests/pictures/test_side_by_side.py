"""A warning that comes with every receipt is read by nobody; one that never comes lets two shops become one."""

from upload_images.formats.recognized import Box, RecognizedLine, RecognizedWord
from upload_images.pictures.side_by_side import seem_two


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
    assert seem_two(lines(*[TWO_COLUMNS] * 8))


def test_a_heading_across_the_gap_makes_it_one() -> None:
    assert not seem_two(lines(((300.0, 700.0),), *[TWO_COLUMNS] * 8))


def test_a_column_of_prices_is_no_receipt() -> None:
    assert not seem_two(lines(*[((0.0, 100.0), (110.0, 200.0), (210.0, 300.0), (800.0, 900.0))] * 10))


def test_dirt_at_the_edge_is_no_receipt() -> None:
    dirt = lines(*[((0.0, 20.0), (22.0, 40.0))] * 20, confidence=0.2)
    assert not seem_two([*dirt, *lines(*[((500.0, 600.0), (610.0, 900.0))] * 20)])


def test_of_a_few_words_nothing_is_said() -> None:
    assert not seem_two(lines(*[TWO_COLUMNS] * 4))
    assert not seem_two([])
