"""Tesseract's TSV: a row for each page, block, paragraph, line and word.

The columns: tesseract-ocr.github.io/tessdoc/Command-Line-Usage.html#tsv-output. There is no quoting: a quotation mark
is a character like any other. Confidence is -1 on everything but words, and 0 on words that may well be right. The line
number begins again in each paragraph.
"""

from dataclasses import dataclass, field

from upload_images.formats.plain import decode, finite
from upload_images.formats.recognized import (
    Box,
    Reading,
    RecognizedLine,
    RecognizedReceipt,
    RecognizedWord,
    refusal,
)

HEADER = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"
RULE = "Tesseract's TSV has 12 columns: level, five numbers, a box, conf and text"
COLUMNS, PAGE_LEVEL, LINE_LEVEL, WORD_LEVEL = 12, 1, 4, 5

LineKey = tuple[int, int, int]
"""Block, paragraph and line."""


@dataclass(kw_only=True)
class _Line:
    box: Box | None = None
    words: list[RecognizedWord] = field(default_factory=list)


@dataclass(kw_only=True)
class _Page:
    size: tuple[float, float] | None = None
    lines: dict[LineKey, _Line] = field(default_factory=dict)


def read_tesseract_tsv(content: bytes) -> Reading:
    """Read a TSV file, with its header or, as the library gives it, without.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID.
    """
    pages: dict[int, _Page] = {}
    # Not splitlines: a text may hold a character that Python takes for the end of a line.
    for number, row in enumerate(decode(content).replace("\r\n", "\n").split("\n"), 1):
        if row and row != HEADER:
            _take(row, number, pages)
    if not pages:
        raise refusal("it has no rows", RULE, "look whether Tesseract failed: it leaves an empty file behind then")
    return Reading(
        receipts=tuple(
            RecognizedReceipt(
                page=page,
                lines=tuple(
                    RecognizedLine(words=tuple(line.words), box=line.box) for line in pages[page].lines.values()
                ),
                size=pages[page].size,
            )
            for page in sorted(pages)
        )
    )


def _take(row: str, number: int, pages: dict[int, _Page]) -> None:
    columns = row.split("\t", COLUMNS - 1)
    # Editors take the tab before an empty text away.
    if len(columns) < COLUMNS - 1:
        raise refusal(
            f"row {number} has {len(columns)} columns", RULE, "look whether the file was cut, and make it again"
        )
    try:
        level, page_number, *key = (int(column) for column in columns[:5])
        left, top, width, height, confidence = (finite(column) for column in columns[6:11])
    except ValueError as error:
        raise refusal(f"row {number}: {error}", RULE) from error
    page = pages.setdefault(page_number, _Page())
    if level == PAGE_LEVEL:
        page.size = (width, height) if width > 0 and height > 0 else None
    elif level in {LINE_LEVEL, WORD_LEVEL}:
        block, paragraph, line_number = key
        line = page.lines.setdefault((block, paragraph, line_number), _Line())
        box = Box.of_size(left, top, width, height)
        if level == LINE_LEVEL:
            line.box = box
        else:
            line.words.append(
                RecognizedWord(
                    text=columns[COLUMNS - 1] if len(columns) == COLUMNS else "",
                    box=box,
                    confidence=None if confidence < 0 else confidence / 100,
                )
            )
