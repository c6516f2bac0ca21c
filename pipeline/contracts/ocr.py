"""The OCR result that starts everything: what stage 1 accepts, exactly.

Pure; the reading from S3 is in ``upload_images``.
"""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ErrorCode, PermanentError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Confidence = Annotated[float, Field(gt=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(ge=1, strict=True)]

MAXIMUM_FAULTS_SHOWN = 5
"""How many faults an error names; the count of all of them is always given."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class BoundingBox(_Document):
    """A box in fractions of the image: ``x`` and ``y`` of its corner, ``width`` and ``height``."""

    x: Fraction
    y: Fraction
    width: Fraction
    height: Fraction


class OcrWord(_Document):
    """One recognized word of a line."""

    word_id: PositiveInt
    text: str
    confidence: Confidence
    bounding_box: BoundingBox


class OcrLine(_Document):
    """One recognized line; its words may be missing when the recognizer gave none."""

    line_id: PositiveInt
    text: str
    confidence: Confidence
    bounding_box: BoundingBox
    words: tuple[OcrWord, ...] = ()

    @model_validator(mode="after")
    def _word_ids_are_unique(self) -> "OcrLine":
        _require_unique([word.word_id for word in self.words], f"word_id in line {self.line_id}")
        return self


class OcrReceipt(_Document):
    """One receipt found on the image."""

    receipt_id: PositiveInt
    lines: Annotated[tuple[OcrLine, ...], Field(min_length=1)]
    merchant_name: str | None = None

    @model_validator(mode="after")
    def _line_ids_are_unique(self) -> "OcrReceipt":
        _require_unique([line.line_id for line in self.lines], f"line_id in receipt {self.receipt_id}")
        return self


class OcrDocument(_Document):
    """The OCR result of one image."""

    image_id: UUID
    receipts: Annotated[tuple[OcrReceipt, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _receipt_ids_are_unique(self) -> "OcrDocument":
        _require_unique([receipt.receipt_id for receipt in self.receipts], "receipt_id")
        return self


def _require_unique(identifiers: list[int], what: str) -> None:
    repeated = sorted({identifier for identifier in identifiers if identifiers.count(identifier) > 1})
    if repeated:
        raise ValueError(f"{what} is repeated: {repeated}")


def parse_ocr_document(content: bytes, source: str) -> OcrDocument:
    """Parse and validate one OCR result.

    Args:
        content: the JSON document, UTF-8.
        source: where it came from (a key or a file name), for the error.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID, naming each field that is wrong.
    """
    try:
        return OcrDocument.model_validate_json(content)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}" for fault in error.errors()]
        shown = "; ".join(faults[:MAXIMUM_FAULTS_SHOWN])
        raise PermanentError(
            ErrorCode.OCR_DOCUMENT_INVALID,
            value=f"{source} has {len(faults)} fault(s): {shown}",
            rule="an OCR result is JSON of the form in docs/contracts.md",
            way_out="correct the document and upload it again under a new key",
        ) from error
