"""Which lines of a receipt may name its merchant. Pure; ``names.py`` and ``vote.py`` judge what the lines say."""

import re
from collections.abc import Sequence
from typing import Protocol

TELLING_LINES = 5
"""Lines that the vote asks for, and that ``first_lines`` reaches down to: name and address are at a receipt's top."""

FIRST_LINES = 2 * TELLING_LINES
"""Lines that ``first_lines`` reaches down to at most, so that a receipt of prices is not read to its end."""

MINIMUM_LETTERS = 4
"""Letters that a line must have to name a merchant; see ``letters_in``."""

_UNTELLING = re.compile(
    r"\b(?:total|subtotal|cash|change|tax|gst|vat|invoice|receipt|bill|date|time|tel|phone|fax|cashier|table|qty|"
    r"amount|price|item|items|thank|welcome|document|member|visa|mastercard|balance|discount|order|no)\b",
    re.IGNORECASE,
)


_AMOUNT = re.compile(r"(?:\d[.,]\d\d(?!\d)|[$€£¥₩₹]\s?\d[\d.,]*|\d\s?[円元])\W*(?:\b[^\W\d_]{1,3}\b\W*)?$")
"""An amount at a line's end: with two decimals or a currency's sign, and a currency or tax code behind it at most."""

_LETTERS_OF_AMOUNT = 3
"""Letters, at most, of a line that is an amount and nothing else: RM 5.95."""


class Box(Protocol):
    """Where a line is on the image, in fractions of it."""

    @property
    def x(self) -> float:
        """The left edge."""
        ...

    @property
    def y(self) -> float:
        """The top edge, growing downwards."""
        ...

    @property
    def height(self) -> float:
        """From the top edge to the lower one."""
        ...


class Line(Protocol):
    """A line of a receipt: an artifact's ``LineRow`` is one, and so is a published line."""

    @property
    def text(self) -> str:
        """As the OCR engine read it."""
        ...

    @property
    def bounding_box(self) -> Box:
        """Where it is."""
        ...

    @property
    def is_noise(self) -> bool:
        """True for a line without a letter or a digit."""
        ...


def telling_lines(lines: Sequence[Line]) -> list[int]:
    """Positions of the lines that may name the merchant, from the top of the receipt down; at most ``TELLING_LINES``.

    Lines without enough letters, or that speak of money, dates, phones and the like, are passed over. Boxes decide what
    is on top, y growing downwards; where they do not differ, the order does. An item is left out, and no other comes in
    its place: shops that sell the same are not one merchant.
    """
    first = [position for position in _downwards(lines) if _is_telling(lines[position])][:TELLING_LINES]
    return [position for position in first if not _is_item(position, lines)]


def first_lines(lines: Sequence[Line]) -> tuple[list[int], ...]:
    """Positions of the first lines, once in the document's order and once from the top edge down.

    Neither order is right alone. OCR engines emit blocks of text out of reading order, so a footer may be the
    document's first line; and on a scan that is rotated or skewed, the top edges do not follow the text. A name is
    found when it is among the first lines by either order, and lines are adjacent when they are so by either order.

    The first lines end with the fifth telling one. Untelling lines above it are among them: a shop may be called CASH
    AND CARRY.
    """
    views = []
    for order in (range(len(lines)), _downwards(lines)):
        found: list[int] = []
        telling = 0
        for position in order:
            if lines[position].is_noise:
                continue
            found.append(position)
            telling += _is_telling(lines[position])
            if telling == TELLING_LINES or len(found) == FIRST_LINES:
                break
        if found not in views:
            views.append(found)
    return tuple(views)


def letters_in(text: str) -> int:
    """How much ``text`` says, in Latin letters; a CJK character says as much as three."""
    letters = sum(character.isalpha() for character in text)
    wide = sum(character > "\u2e7f" and character.isalpha() for character in text)
    return letters + 2 * wide


def _downwards(lines: Sequence[Line]) -> list[int]:
    return sorted(range(len(lines)), key=lambda position: lines[position].bounding_box.y)


def _is_telling(line: Line) -> bool:
    text = line.text
    letters = sum(character.isalpha() for character in text)
    digits = sum(character.isdigit() for character in text)
    enough = letters_in(text) >= MINIMUM_LETTERS
    return not line.is_noise and enough and letters > digits and _UNTELLING.search(text) is None


def _is_item(position: int, lines: Sequence[Line]) -> bool:
    """Whether a line ends with an amount, or one stands to its right on the same row of the page."""
    line = lines[position]
    return _ends_with_amount(line) or any(
        _is_amount(other)
        and other.bounding_box.x > line.bounding_box.x
        and _share_a_row(line.bounding_box, other.bounding_box)
        for other in lines
    )


def _ends_with_amount(line: Line) -> bool:
    return _AMOUNT.search(line.text) is not None


def _is_amount(line: Line) -> bool:
    return _ends_with_amount(line) and sum(map(str.isalpha, line.text)) <= _LETTERS_OF_AMOUNT


def _share_a_row(box: Box, other: Box) -> bool:
    """Whether they overlap vertically by half of the lower one's height."""
    overlap = min(box.y + box.height, other.y + other.height) - max(box.y, other.y)
    return overlap > 0 and 2 * overlap >= min(box.height, other.height)
