"""Tells two receipts side by side on a page from one receipt with two columns. Pure; the cutting is ``engine.py``'s.

Where a gap runs down the whole page, in the words that were read or in the ink, each side is read again on its own. The
page is divided if each is a whole receipt: lines enough, a head above its first amount, amounts, and a total. A column
of prices has no head, and the label of a total is on one side only, so one receipt is not torn apart. In doubt the page
stays one receipt, with a remark for a person.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from rapidfuzz import fuzz

from upload_images.formats.recognized import RecognizedLine, RecognizedWord
from upload_images.pictures.limits import CERTAIN

NARROWEST_GAP = 0.04
"""Of the text's width. Between two receipts there is paper, and both have a margin of their own."""
SMALLEST_SIDE = 0.3
"""Of the words, on either side of the gap. The column of prices has fewer, and a heading crosses its gap."""
SMALLEST_INK = 0.15
"""Of the ink, on either side of the gap. One receipt may be much shorter; less is a shadow at the picture's edge."""
NARROWEST_SIDE = 0.2
"""Of the ink's width: narrower is no receipt beside another."""
INK_SHARE = 0.004
"""Of a column's pixels: less is dust."""
FEWEST_WORDS = 20
"""On a page with fewer there is no gap."""
MOST_GAPS = 5
"""That are tried, as many as three receipts with columns of prices have: for each, two sides may have to be read."""
SAME_GAP = 40.0
"""Pixels of a laid out page by which the middles of one gap, in words and in ink, may differ."""
FEWEST_LINES, FEWEST_AMOUNTS = 5, 2
"""Of a receipt at least. The price of an item and the total are amounts."""
HEAD_LETTERS = 4
"""Of the lines above the first amount, at least; the column of prices begins with an amount or its heading."""
_TOTALS = """
    total totals subtotal totale totaal summe gesamt gesamtbetrag betrag montant importe suma jumlah
    合計 小計 总计 合计
"""
TOTALS = frozenset(_TOTALS.split())
"""What totals are called, without case."""
SAME_WORD = 80.0
"""rapidfuzz's ratio, 0 to 100, from which a word is a total's name: one letter of five may be misread."""
_AMOUNT = re.compile(r"\d[.,]\d\d\b")


def find_gaps(lines: Sequence[RecognizedLine]) -> list[float]:
    """The middles of the gaps that no word crosses and that have much text on either side, the widest first.

    One is not enough: the gap before a receipt's prices may be wider than that between two receipts.

    Args:
        lines: of one page, with the boxes of their words.
    """
    spans = sorted((word.box.left, word.box.right) for line in lines for word in _certain(line) if word.box is not None)
    if len(spans) < FEWEST_WORDS:
        return []
    width = max(right for _, right in spans) - spans[0][0]
    reached = spans[0][1]
    gaps: list[tuple[float, float]] = []
    for place, (left, right) in enumerate(spans):
        if left - reached >= NARROWEST_GAP * width and SMALLEST_SIDE <= place / len(spans) <= 1 - SMALLEST_SIDE:
            gaps.append((left - reached, (left + reached) / 2))
        reached = max(reached, right)
    return [middle for _, middle in sorted(gaps, reverse=True)[:MOST_GAPS]]


def find_ink_gaps(ink: np.ndarray) -> list[float]:
    """The middles of the gaps in the ink that have much ink on either side, the widest first.

    The engine, asked for one block of text, often reads one of two receipts alone, and then the words have no gap.

    Args:
        ink: for each column of pixels the share of dark ones.
    """
    inked = np.flatnonzero(ink > INK_SHARE)
    if not inked.size:
        return []
    first, last = int(inked[0]), int(inked[-1])
    width = last - first
    before = np.cumsum(ink) / ink.sum()
    gaps = [
        (right - left, (left + right) / 2)
        for left, right in pairwise(inked.tolist())
        if right - left >= max(2.0, NARROWEST_GAP * width)
        and SMALLEST_INK <= before[left] <= 1 - SMALLEST_INK
        and min(left - first, last - right) >= NARROWEST_SIDE * width
    ]
    return [middle for _, middle in sorted(gaps, reverse=True)[:MOST_GAPS]]


def joined_gaps(in_words: Sequence[float], in_ink: Sequence[float]) -> list[int]:
    """Both kinds of gaps, the ink's where the words have none, at most ``MOST_GAPS``.

    Args:
        in_words: their middles, in pixels.
        in_ink: the same.
    """
    more = [gap for gap in in_ink if all(abs(gap - other) > SAME_GAP for other in in_words)]
    return [round(gap) for gap in (*in_words, *more)][:MOST_GAPS]


def has_text(lines: Sequence[RecognizedLine]) -> bool:
    """Whether enough was read of one side of a gap, and well enough, to take it for more than dirt."""
    certain = sum(len(_certain(line)) for line in lines)
    return certain >= FEWEST_WORDS and 2 * certain >= sum(len(line.words) for line in lines)


def is_whole_receipt(lines: Sequence[RecognizedLine]) -> bool:
    """Whether one side of a gap, read on its own, is a receipt and no column of one.

    Args:
        lines: from the top down.
    """
    texts = [" ".join(word.text for word in words) for line in lines if (words := _certain(line))]
    amounts = [place for place, text in enumerate(texts) if _AMOUNT.search(text)]
    if len(texts) < FEWEST_LINES or len(amounts) < FEWEST_AMOUNTS:
        return False
    head = "".join(texts[: amounts[0]])
    has_head = sum(map(str.isalpha, head)) >= HEAD_LETTERS
    return has_head and any(_is_total(word) for text in texts for word in text.split())


def _certain(line: RecognizedLine) -> list[RecognizedWord]:
    """Words that were read with confidence; others may be dirt at the picture's edge."""
    return [word for word in line.words if (word.confidence or 0.0) >= CERTAIN]


def _is_total(word: str) -> bool:
    letters = "".join(filter(str.isalpha, word)).casefold()
    return any(fuzz.ratio(letters, total) >= SAME_WORD for total in TOTALS)
