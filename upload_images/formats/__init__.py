"""OCR results in the forms of other tools, and how they become documents of the contract.

One module a format reads bytes into ``recognized.RecognizedReceipt`` and decides nothing else; ``conversion.py`` makes
documents of them by one set of rules; ``detection.py`` recognises the format by the content. Pure: no file, no AWS.
"""

from enum import StrEnum


class Format(StrEnum):
    """The forms of an OCR result, by the names that ``--format`` takes."""

    RECEIPTS = "receipts"
    TEXTRACT = "textract"
    TESSERACT_TSV = "tesseract-tsv"
    HOCR = "hocr"
    ALTO = "alto"
    GOOGLE_VISION = "google-vision"
