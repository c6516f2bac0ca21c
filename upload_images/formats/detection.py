"""Which format a file has, by its content; a name says nothing reliable. Reads it by the format's own module."""

import json
from collections.abc import Callable, Mapping

from upload_images.formats import Format
from upload_images.formats.alto import read_alto
from upload_images.formats.google_vision import read_google_vision
from upload_images.formats.hocr import read_hocr
from upload_images.formats.recognized import Reading, refusal
from upload_images.formats.tesseract_tsv import HEADER, read_tesseract_tsv
from upload_images.formats.textract import read_textract

LOOKED_AT = 65_536
"""Bytes at the beginning of a file that show its format, for every one of these formats."""


READERS: Mapping[Format, Callable[[bytes], Reading]] = {
    Format.TEXTRACT: read_textract,
    Format.TESSERACT_TSV: read_tesseract_tsv,
    Format.HOCR: read_hocr,
    Format.ALTO: read_alto,
    Format.GOOGLE_VISION: read_google_vision,
}

PICTURES: Mapping[str, bytes] = {
    "a JPEG picture": b"\xff\xd8\xff",
    "a PNG picture": b"\x89PNG\r\n\x1a\n",
    "a TIFF picture": b"II*\x00",
    "a TIFF picture, big end first": b"MM\x00*",
    "a PDF": b"%PDF-",
    "a GIF picture": b"GIF8",
    "a WebP picture": b"RIFF",
}
"""How files begin that have to be recognized first."""


def detect(content: bytes) -> Format:
    """The format of a file.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID when it is none that is known.
    """
    for what, beginning in PICTURES.items():
        if content.startswith(beginning):
            raise refusal(
                f"it is {what}",
                "an OCR result is text with boxes",
                "set receipts:ocr to tesseract, which reads JPEG, PNG, TIFF, PDF and HEIC; or recognize it first, for "
                "example with `tesseract PICTURE RESULT tsv`, and upload RESULT.tsv",
            )
    text = content[:LOOKED_AT].decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if not text:
        raise refusal("it is empty", "an OCR result holds text", "look whether the tool failed")
    if text.startswith(("{", "[")):
        return _of_json(content)
    if text.startswith(HEADER) or _is_row(text):
        return Format.TESSERACT_TSV
    if text.startswith("<") and ("<alto" in text or ":alto" in text):
        return Format.ALTO
    if "ocr_page" in text:
        return Format.HOCR
    raise refusal("it is in no form that is known", f"the forms are {', '.join(Format)}")


def _of_json(content: bytes) -> Format:
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        # The contract's own reader says what is wrong with it.
        return Format.RECEIPTS
    first = document[0] if isinstance(document, list) and document else document
    keys = {key.lower().replace("_", "") for key in first} if isinstance(first, dict) else set()
    if keys & {"blocks", "expensedocuments", "documentmetadata"}:
        return Format.TEXTRACT
    if keys & {"responses", "fulltextannotation", "textannotations"}:
        return Format.GOOGLE_VISION
    return Format.RECEIPTS


def _is_row(text: str) -> bool:
    """The first row of a TSV that the library wrote, which has no header: that of the first page."""
    columns = text.split("\n", 1)[0].split("\t")
    return columns[:1] == ["1"] and columns[2:6] == ["0"] * 4
