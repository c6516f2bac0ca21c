"""Reads receipts of the ICDAR 2019 SROIE data set, one JSON object a line, as OCR results. It holds none of the data.

A line of the file is ``{"receipt": "000", "key": {"company": ...}, "lines": [{"box": [left, top, right, bottom],
"text": ...}]}``, boxes in pixels of the scan, y downwards.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.contracts.limits import MAXIMUM_DOCUMENT_BYTES
from pipeline.contracts.ocr import BoundingBox, OcrDocument, OcrLine, OcrReceipt, OcrWord, require_document_size
from pipeline.errors import ErrorCode, PermanentError

SROIE_CONFIDENCE = 0.95
"""Given to every line and word: the data set was transcribed by people and has no confidences."""

SROIE_NAMESPACE = uuid5(NAMESPACE_URL, "https://rrc.cvc.uab.es/?ch=13")
"""Image ids are made within it from receipt numbers, so the same receipt has the same id on every machine."""


class _Key(BaseModel):
    model_config = ConfigDict(extra="ignore")
    company: str | None = None


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore")
    box: tuple[float, float, float, float]
    text: str


class _Receipt(BaseModel):
    model_config = ConfigDict(extra="ignore")
    receipt: str
    key: _Key = _Key()
    lines: Annotated[tuple[_Line, ...], Field(min_length=1)]


def read_sroie(
    path: Path,
    *,
    with_merchant: bool | Callable[[str], bool] = False,
    on_refused: Callable[[PermanentError], object] | None = None,
) -> Iterator[OcrDocument]:
    """Read SROIE receipts.

    The scan's size is not in the data: fractions are of the extent of the boxes from the scan's corner, so the lowest
    and rightmost box end at 1. Words are the line's text split at blanks, their boxes in proportion to characters.

    Args:
        path: the JSON lines file.
        with_merchant: whether ``key.company`` becomes ``merchant_name``; or a predicate of the receipt's number.
        on_refused: called with the error of a line that is not of this form, and the next line follows; without it the
            error is raised.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID naming the line; also, whatever ``on_refused`` is, when a line is too long.
    """
    with path.open("rb") as file:
        for number, content in enumerate(iter(lambda: file.readline(MAXIMUM_DOCUMENT_BYTES + 1), b""), start=1):
            name = f"{path.name} line {number}"
            require_document_size(len(content), name)
            if not content.strip():
                continue
            try:
                yield _read_line(content, with_merchant)
            except (ValueError, RecursionError) as error:
                refusal = _refusal(name, error)
                if on_refused is None:
                    raise refusal from error
                on_refused(refusal)


def _read_line(content: bytes, with_merchant: bool | Callable[[str], bool]) -> OcrDocument:
    receipt = _Receipt.model_validate(json.loads(content.decode("utf-8-sig")))
    known = with_merchant(receipt.receipt) if callable(with_merchant) else with_merchant
    return _document(receipt, receipt.key.company if known else None)


def _refusal(name: str, error: Exception) -> PermanentError:
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, fault['loc'])) or 'line'}: {fault['msg']}"
    else:
        reason = str(error).splitlines()[0]
    return PermanentError(
        ErrorCode.OCR_DOCUMENT_INVALID,
        value=f"{name}: {reason}",
        rule="a line is a JSON object with receipt, key and lines of box and text",
        way_out="give SROIE receipts as JSON lines, or OCR results as .json",
    )


def _document(receipt: _Receipt, merchant_name: str | None) -> OcrDocument:
    width = max(1.0, *(line.box[2] for line in receipt.lines))
    height = max(1.0, *(line.box[3] for line in receipt.lines))
    lines = tuple(_line(line_id, line, width, height) for line_id, line in enumerate(receipt.lines, start=1))
    return OcrDocument(
        image_id=uuid5(SROIE_NAMESPACE, receipt.receipt),
        receipts=(OcrReceipt(receipt_id=1, lines=lines, merchant_name=merchant_name or None),),
    )


def _line(line_id: int, line: _Line, width: float, height: float) -> OcrLine:
    left, top, right, bottom = line.box
    box = _box(left / width, top / height, right / width, bottom / height)
    words: list[OcrWord] = []
    start = 0
    for word_id, text in enumerate(line.text.split(), start=1):
        start = line.text.index(text, start)
        share = box.width / len(line.text)
        word_box = _box(box.x + start * share, box.y, box.x + (start + len(text)) * share, box.y + box.height)
        words.append(OcrWord(word_id=word_id, text=text, confidence=SROIE_CONFIDENCE, bounding_box=word_box))
        start += len(text)
    return OcrLine(line_id=line_id, text=line.text, confidence=SROIE_CONFIDENCE, bounding_box=box, words=tuple(words))


def _box(left: float, top: float, right: float, bottom: float) -> BoundingBox:
    """Edges to a box within the image; a few boxes of the data set lie partly outside or are turned round."""
    left, right = sorted((min(max(left, 0.0), 1.0), min(max(right, 0.0), 1.0)))
    top, bottom = sorted((min(max(top, 0.0), 1.0), min(max(bottom, 0.0), 1.0)))
    return BoundingBox(x=left, y=top, width=right - left, height=bottom - top)
