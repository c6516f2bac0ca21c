"""From what a tool recognized to documents of the contract, by rules that are the same for every tool.

- A page is an image of its own. Its id is made of the file's bytes and the page's number, so the same file is the same
  image everywhere.
- The tool's order is kept; lines and words are numbered from 1.
- Texts lose blanks at their ends. A blank word, a line without text and a page without lines are dropped, and counted.
- Boxes become fractions of the page; what lies outside is moved to its edge. A word may be outside its line. Where
  a word has no box it gets its line's, where a line has none it gets the box around its words.
- An unknown confidence is 0 for a word, and the mean of its words' for a line.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from uuid import NAMESPACE_URL, UUID, uuid5

from pipeline.contracts.identifiers import sha256_hex
from pipeline.contracts.ocr import BoundingBox, OcrDocument, OcrLine, OcrReceipt, OcrWord
from upload_images.formats.recognized import (
    Box,
    Reading,
    RecognizedLine,
    RecognizedReceipt,
    RecognizedWord,
    refusal,
)

IMAGES_NAMESPACE = uuid5(NAMESPACE_URL, "urn:receipts:ocr-file")
WORD_WITHOUT_TEXT = "words without text"
LINE_WITHOUT_TEXT = "lines without text"
PAGE_WITHOUT_LINES = "pages without text"


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What became of a file.

    Attributes:
        documents: one a page that has text; not yet held to the contract's bounds, ``parse_ocr_document`` does that.
        dropped: how many of what was left out.
        remarks: of the format's reader.
    """

    documents: tuple[OcrDocument, ...]
    dropped: dict[str, int]
    remarks: tuple[str, ...]


def convert(reading: Reading, content: bytes) -> Conversion:
    """Make documents of a reading.

    Args:
        reading: what the file holds.
        content: the file itself, for the ids.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID when no page has text.
    """
    dropped: Counter[str] = Counter()
    digest = sha256_hex(content)
    pages: dict[int, list[OcrReceipt]] = {}
    for receipt in reading.receipts:
        receipts = pages.setdefault(receipt.page, [])
        if lines := _lines(receipt, dropped):
            # Not validated here: a text that is too long for the contract is named by its own error, not by pydantic's.
            receipts.append(
                OcrReceipt.model_construct(
                    receipt_id=len(receipts) + 1, lines=lines, merchant_name=receipt.merchant_name
                )
            )
    documents = tuple(
        OcrDocument.model_construct(image_id=image_id(digest, page), receipts=tuple(receipts))
        for page, receipts in pages.items()
        if receipts
    )
    if not documents:
        raise refusal(
            f"it has {len(pages)} pages and no text on any",
            "an OCR result has at least one line with text",
            "look whether the picture is blank or upside down, or the tool failed",
        )
    if len(pages) > len(documents):
        dropped[PAGE_WITHOUT_LINES] = len(pages) - len(documents)
    return Conversion(documents=documents, dropped=dict(dropped), remarks=reading.remarks)


def image_id(digest: str, page: int) -> UUID:
    """The id of a page of the file with this SHA-256."""
    return uuid5(IMAGES_NAMESPACE, f"{digest}/{page}")


def _lines(receipt: RecognizedReceipt, dropped: Counter[str]) -> tuple[OcrLine, ...]:
    size = receipt.size or _extent(receipt.lines)
    lines: list[OcrLine] = []
    for line in receipt.lines:
        words = [word for word in line.words if word.text.strip()]
        dropped[WORD_WITHOUT_TEXT] += len(line.words) - len(words)
        text = (line.text if line.text is not None else " ".join(word.text.strip() for word in words)).strip()
        if not text:
            dropped[LINE_WITHOUT_TEXT] += 1
            continue
        box = line.box or Box.around([word.box for word in words if word.box is not None])
        lines.append(
            OcrLine.model_construct(
                line_id=len(lines) + 1,
                text=text,
                confidence=_confidence(line.confidence, (word.confidence for word in words)),
                bounding_box=_fractions(box, size),
                words=tuple(_word(number, word, box, size) for number, word in enumerate(words, 1)),
            )
        )
    dropped += Counter()  # without the zeros
    return tuple(lines)


def _word(number: int, word: RecognizedWord, of_line: Box | None, size: tuple[float, float]) -> OcrWord:
    return OcrWord.model_construct(
        word_id=number,
        text=word.text.strip(),
        confidence=_confidence(word.confidence, ()),
        bounding_box=_fractions(word.box or of_line, size),
    )


def _confidence(told: float | None, of_words: Iterable[float | None]) -> float:
    if told is None:
        known = [confidence for confidence in of_words if confidence is not None]
        told = fmean(known) if known else 0.0
    return min(max(told, 0.0), 1.0)


def _extent(lines: Sequence[RecognizedLine]) -> tuple[float, float]:
    """The size of a page that does not give it: from its corner to the farthest edge of a box."""
    boxes = [box for line in lines for box in (line.box, *(word.box for word in line.words)) if box is not None]
    around = Box.around(boxes)
    return (1.0, 1.0) if around is None else (max(around.right, 1.0), max(around.bottom, 1.0))


def _fractions(box: Box | None, size: tuple[float, float]) -> BoundingBox:
    """A box in fractions, inside the page; an unknown box is the whole page."""
    if box is None:
        return BoundingBox(x=0.0, y=0.0, width=1.0, height=1.0)
    width, height = size
    left, right = sorted(min(max(edge / width, 0.0), 1.0) for edge in (box.left, box.right))
    top, bottom = sorted(min(max(edge / height, 0.0), 1.0) for edge in (box.top, box.bottom))
    return BoundingBox(x=left, y=top, width=right - left, height=bottom - top)
