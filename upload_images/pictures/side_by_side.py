"""Decides whether a page seems to show two receipts side by side. Pure; it warns and divides nothing.

A wrong division would tear one receipt with two columns apart, so such a page stays one receipt, with a remark for a
person.
"""

from collections.abc import Sequence

from upload_images.formats.recognized import RecognizedLine
from upload_images.pictures.limits import CERTAIN

NARROWEST_GAP = 0.04
"""Of the text's width. Between two receipts there is paper, and both have a margin of their own."""
SMALLEST_SIDE = 0.3
"""Of the words, on either side of the gap. The column of prices has fewer, and a heading crosses its gap."""
FEWEST_WORDS = 20
"""A page with fewer gets no remark."""


def seem_two(lines: Sequence[RecognizedLine]) -> bool:
    """Whether a gap that no word crosses runs down the whole page, with much text on either side.

    Args:
        lines: of one page, with the boxes of their words.
    """
    spans = sorted(
        (word.box.left, word.box.right)
        for line in lines
        for word in line.words
        # What is read without confidence may be dirt at the picture's edge.
        if word.box is not None and (word.confidence or 0.0) >= CERTAIN
    )
    if len(spans) < FEWEST_WORDS:
        return False
    width = max(right for _, right in spans) - spans[0][0]
    reached = spans[0][1]
    for place, (left, right) in enumerate(spans):
        if left - reached >= NARROWEST_GAP * width and SMALLEST_SIDE <= place / len(spans) <= 1 - SMALLEST_SIDE:
            return True
        reached = max(reached, right)
    return False
