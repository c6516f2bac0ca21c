"""What every OCR tool gives, in one form: receipts of lines of words with boxes. Not the contract, and not checked yet.

Boxes are in the unit of the page's size; None means that the tool did not give a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.errors import ErrorCode, PermanentError

SOURCE_FORMATS = "give an OCR result of Textract, Tesseract (TSV or hOCR), ALTO or Google Vision as the tool wrote it"


@dataclass(frozen=True, kw_only=True)
class Box:
    """Edges; ``y`` grows downwards. They may lie outside the page or be turned round."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of_size(cls, left: float, top: float, width: float, height: float) -> Self:
        """A box given by a corner and its size."""
        return cls(left=left, top=top, right=left + width, bottom=top + height)

    @classmethod
    def around(cls, boxes: Sequence["Box"]) -> Self | None:
        """The smallest box that holds all of them; None without any."""
        if not boxes:
            return None
        return cls(
            left=min(min(box.left, box.right) for box in boxes),
            top=min(min(box.top, box.bottom) for box in boxes),
            right=max(max(box.left, box.right) for box in boxes),
            bottom=max(max(box.top, box.bottom) for box in boxes),
        )


@dataclass(frozen=True, kw_only=True)
class RecognizedWord:
    """One word; ``confidence`` is from 0 to 1."""

    text: str
    box: Box | None
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class RecognizedLine:
    """One line. Where text, box or confidence is None it is made of the words'; ``conversion.py`` says how."""

    words: tuple[RecognizedWord, ...]
    text: str | None = None
    box: Box | None = None
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class RecognizedReceipt:
    """One receipt, by default everything on a page.

    Attributes:
        page: the page's number in the file, from 1.
        lines: in the tool's order, which is kept: sorted by height, the lines of a tilted page would be mixed.
        size: width and height of the page; None when the tool gave none; then the extent of the boxes is used.
        merchant_name: when the tool named one.
    """

    page: int
    lines: tuple[RecognizedLine, ...]
    size: tuple[float, float] | None
    merchant_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a file holds.

    Attributes:
        receipts: in the order of their pages.
        remarks: what a person should know about the file, a sentence each.
    """

    receipts: tuple[RecognizedReceipt, ...]
    remarks: tuple[str, ...] = ()


def refusal(reason: str, rule: str, way_out: str = SOURCE_FORMATS) -> PermanentError:
    """The error of a file that cannot be read: OCR_DOCUMENT_INVALID."""
    return PermanentError(ErrorCode.OCR_DOCUMENT_INVALID, value=reason, rule=rule, way_out=way_out)
