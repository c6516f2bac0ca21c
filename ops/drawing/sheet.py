"""A receipt laid out on a sheet: which text is where, in pixels, and what is marked. Pure; it draws nothing.

``picture.py`` draws a sheet as PNG, the local page as SVG, so both show the same. A sheet shows the part of the image
that the receipt takes up: an image may hold several receipts.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

SHEET_WIDTH = 720
"""Pixels: a receipt's print is legible, and a PNG of it is far below 200 kB."""
LARGEST_HEIGHT = 12_000
"""Pixels. A longer receipt is pressed together; Pillow would take it, a reader's viewer may not."""
LOW_CONFIDENCE = 0.75
"""Below this a text is shaded as doubtful. 0 means that none is known, and is not shaded."""
NEARLY = 0.85
"""Of a box's width: letters that are estimated to take more take all of it."""
MARGIN = 0.03
"""Around the receipt, in fractions of its own width and height."""
CHARACTER_WIDTH = 0.55
"""Of a character on average, in font sizes: 123 pixels for the 11 of "TOTAL 12.50" at size 20 (Pillow's font)."""
FONT_SHARE = 0.78
"""Of a box's height that the font takes; the rest is for what hangs below the line."""
PROPORTIONS = (0.4, 12.0)
"""Height by width that an estimate may give: from a wide ticket to a long till roll."""
USUAL_PROPORTION = 1.6
LEAST_PRINT = 0.001
"""Of the image's height or width; smaller print does not show proportions."""
ROW_HEIGHT = 24.0
"""Pixels of a text that has no place of its own."""


class Box(NamedTuple):
    """A box in fractions of an image; ``left`` and ``top`` are its corner, y grows downwards."""

    left: float
    top: float
    width: float
    height: float


class Place(NamedTuple):
    """Which row: the number of its line, and of its word or 0 for the line as a whole."""

    line_id: int
    word_id: int = 0


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One text on the sheet; lengths in pixels.

    Attributes:
        font_size: with which the text fits its box, about.
        is_hit: it is what was searched for.
        is_doubtful: the recognizer was not sure of it.
    """

    place: Place
    text: str
    left: float
    top: float
    width: float
    height: float
    font_size: float
    is_hit: bool
    is_doubtful: bool

    @property
    def fills_width(self) -> bool:
        """Whether the letters take up the box's width, about; a browser's font can then be set to exactly that."""
        return len(self.text) > 1 and CHARACTER_WIDTH * len(self.text) * self.font_size > NEARLY * self.width


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What is to be drawn.

    Attributes:
        width: in pixels, as ``height``.
        region: the part of the image that the sheet shows.
        region_height: pixels of the sheet that show it; texts without a place of their own are below.
        marks: in the order of the rows.
    """

    width: int
    height: int
    region: Box
    region_height: int
    marks: tuple[Mark, ...]


def lay_out(
    rows: Sequence[Mapping[str, Any]],
    *,
    hits: Collection[Place] = (),
    photo_size: tuple[int, int] | None = None,
    width: int = SHEET_WIDTH,
) -> Sheet:
    """Lay a receipt out.

    Args:
        rows: published lines or words: ``text``, ``line_id``, and where known ``word_id``, ``confidence`` and the box.
        hits: the rows to be marked.
        photo_size: width and height in pixels of the picture beneath; None estimates the image's proportions from the
            boxes and the lengths of their texts.
        width: of the sheet, in pixels.
    """
    boxes = [box_of(row) for row in rows]
    placed = [box for box in boxes if box is not None]
    region = _region(placed)
    proportion = _proportion(rows, boxes) if photo_size is None else photo_size[1] / photo_size[0]
    region_height = 0
    if placed or photo_size is not None:
        region_height = max(1, min(round(width * proportion * region.height / region.width), LARGEST_HEIGHT))
    marks, below = [], float(region_height)
    for row, box in zip(rows, boxes, strict=True):
        if box is None:
            left, top, mark_width, mark_height = width * MARGIN, below, width * (1 - 2 * MARGIN), ROW_HEIGHT
            below += ROW_HEIGHT
        else:
            left = (box.left - region.left) / region.width * width
            top = (box.top - region.top) / region.height * region_height
            mark_width = box.width / region.width * width
            mark_height = box.height / region.height * region_height
        place = Place(int(row["line_id"]), int(row.get("word_id", 0)))
        text = str(row["text"])
        marks.append(
            Mark(
                place=place,
                text=text,
                left=left,
                top=top,
                width=mark_width,
                height=mark_height,
                font_size=max(1.0, min(mark_height * FONT_SHARE, mark_width / (CHARACTER_WIDTH * max(len(text), 1)))),
                is_hit=place in hits,
                is_doubtful=0 < float(row.get("confidence", 0)) < LOW_CONFIDENCE,
            )
        )
    height = max(1, round(below + (ROW_HEIGHT * (below > region_height))))
    return Sheet(width=width, height=height, region=region, region_height=region_height, marks=tuple(marks))


def part_of(sheet: Sheet, place: Place, height: int) -> tuple[int, int]:
    """Where a part of a long sheet begins that has a certain text in it, and how high it is, in pixels.

    Args:
        sheet: laid out.
        place: of the text.
        height: of the part, at most.
    """
    if sheet.height <= height:
        return 0, sheet.height
    top = next((mark.top for mark in sheet.marks if mark.place == place), 0.0)
    return max(0, min(round(top - height / 3), sheet.height - height)), height


def box_of(row: Mapping[str, Any]) -> Box | None:
    """A row's box; None when it has none, or the whole page, which is what a text without a known place gets."""
    if not all(name in row for name in ("x", "y", "width", "height")):
        return None
    box = Box(*(float(row[name]) for name in ("x", "y", "width", "height")))
    return None if (box.width, box.height) == (1.0, 1.0) else box


def _region(boxes: Sequence[Box]) -> Box:
    """The part of the image around all boxes, with a margin; the whole image when there is no box."""
    if not boxes:
        return Box(0.0, 0.0, 1.0, 1.0)
    left, right = _span((box.left, box.left + box.width) for box in boxes)
    top, bottom = _span((box.top, box.top + box.height) for box in boxes)
    return Box(left, top, right - left, bottom - top)


def _span(edges: Iterable[tuple[float, float]]) -> tuple[float, float]:
    pairs = list(edges)
    least, most = min(low for low, _ in pairs), max(high for _, high in pairs)
    # Boxes without a size still need an area.
    margin = max((most - least) * MARGIN, 0.005)
    return max(least - margin, 0.0), min(most + margin, 1.0)


def _proportion(rows: Sequence[Mapping[str, Any]], boxes: Sequence[Box | None]) -> float:
    """Height by width of an image that is not there: such that texts in their boxes look like print."""
    found = [
        box.width / (CHARACTER_WIDTH * FONT_SHARE * box.height * len(str(row["text"])))
        for row, box in zip(rows, boxes, strict=True)
        if box is not None and box.height > LEAST_PRINT and box.width > LEAST_PRINT and str(row["text"])
    ]
    return min(max(median(found), PROPORTIONS[0]), PROPORTIONS[1]) if found else USUAL_PROPORTION
