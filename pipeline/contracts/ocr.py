"""The OCR result that starts everything: what stage 1 and ``receipts upload`` accept, exactly.

Pure; the reading from S3 is in ``upload_images``. A document is refused as a whole only when nothing of it can be
used: a receipt that is wrong is refused alone, with its own reason.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.contracts.limits import (
    MAXIMUM_DOCUMENT_BYTES,
    MAXIMUM_RECEIPTS,
    MAXIMUM_ROWS,
    MAXIMUM_TEXT_BYTES,
    MerchantName,
    Number,
)
from pipeline.errors import ErrorCode, PermanentError

ROUNDING = 0.01
"""How far a fraction may lie outside 0 to 1: recognizers round, and boxes at an edge overshoot. It is moved inside."""
MAXIMUM_FAULTS_SHOWN = 5
"""How many faults an error names; the count of all of them is always given."""
SOURCE_SHOWN = 200
"""Characters of a source in an error, from its end: an S3 key has up to 1,024."""


def _moved_inside(value: float) -> float:
    # NaN fails both comparisons. Adding zero makes -0.0 the same bytes as 0.0.
    if not -ROUNDING <= value <= 1 + ROUNDING:
        raise ValueError(f"{value} is not between 0 and 1")
    return min(max(value, 0.0), 1.0) + 0.0


def _require_embeddable(text: str) -> str:
    size = len(text.encode())
    if size > MAXIMUM_TEXT_BYTES:
        raise ValueError(f"the text has {size} bytes of UTF-8, and one input of the embedding API {MAXIMUM_TEXT_BYTES}")
    return text


Fraction = Annotated[float, AfterValidator(_moved_inside)]
Confidence = Fraction
"""0 when the recognizer gave none."""
OcrText = Annotated[str, AfterValidator(_require_embeddable)]
StrictNumber = Annotated[Number, Field(strict=True)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class BoundingBox(_Document):
    """A box in fractions of the image: ``x`` and ``y`` of its upper left corner, ``width`` and ``height``."""

    x: Fraction
    y: Fraction
    width: Fraction
    height: Fraction


class OcrWord(_Document):
    """One recognized word of a line."""

    word_id: StrictNumber
    text: OcrText
    confidence: Confidence
    bounding_box: BoundingBox


class OcrLine(_Document):
    """One recognized line; its words may be missing when the recognizer gave none."""

    line_id: StrictNumber
    text: OcrText
    confidence: Confidence
    bounding_box: BoundingBox
    words: tuple[OcrWord, ...] = ()

    @model_validator(mode="after")
    def _word_ids_are_unique(self) -> "OcrLine":
        _require_unique((word.word_id for word in self.words), f"word_id in line {self.line_id}")
        return self


class OcrReceipt(_Document):
    """One receipt found on the image."""

    receipt_id: StrictNumber
    lines: tuple[OcrLine, ...]
    merchant_name: MerchantName = None

    @model_validator(mode="after")
    def _has_lines_within_bounds(self) -> "OcrReceipt":
        if not self.lines:
            raise ValueError("the receipt has no lines")
        rows = len(self.lines) + sum(len(line.words) for line in self.lines)
        if rows > MAXIMUM_ROWS:
            raise ValueError(f"the receipt has {rows} lines and words, and {MAXIMUM_ROWS} can be embedded together")
        _require_unique((line.line_id for line in self.lines), f"line_id in receipt {self.receipt_id}")
        return self


@dataclass(frozen=True, kw_only=True)
class RefusedReceipt:
    """A receipt that is not accepted.

    Attributes:
        faults: what is wrong, each with the place in the document.
    """

    faults: tuple[str, ...]


class OcrDocument(_Document):
    """The OCR result of one image.

    Attributes:
        receipts: those that are accepted; at least one.
        refused: the others; never written.
    """

    image_id: UUID
    receipts: Annotated[tuple[OcrReceipt, ...], Field(min_length=1)]
    refused: Annotated[tuple[RefusedReceipt, ...], Field(exclude=True)] = ()

    @model_validator(mode="after")
    def _receipt_ids_are_unique(self) -> "OcrDocument":
        _require_unique((receipt.receipt_id for receipt in self.receipts), "receipt_id")
        return self


class _Image(_Document):
    """The document around the receipts, which are looked at one by one."""

    image_id: UUID
    receipts: Annotated[list[Any], Field(min_length=1, max_length=MAXIMUM_RECEIPTS)]


def parse_ocr_document(content: bytes, source: str) -> OcrDocument:
    """Parse and validate one OCR result. Time and memory grow linearly with its size.

    Args:
        content: the JSON document, UTF-8, with or without a byte order mark.
        source: where it came from (a key or a file name), for the error.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID when no receipt of it can be accepted, naming each fault.
    """
    require_document_size(len(content), source)
    if not content:
        raise _refusal(source, ["it is empty"])
    try:
        image = _Image.model_validate(json.loads(content.decode("utf-8-sig")))
    except ValidationError as error:
        raise _refusal(source, _faults(error)) from error
    except UnicodeDecodeError as error:
        raise _refusal(source, [f"it is not UTF-8: {error.reason} at byte {error.start}"]) from error
    except RecursionError as error:
        raise _refusal(source, ["it is nested too deep"]) from error
    except ValueError as error:
        raise _refusal(source, [f"it is not JSON: {str(error).splitlines()[0]}"]) from error
    accepted: dict[int, OcrReceipt] = {}
    refused: dict[int, RefusedReceipt] = {}
    for place, content_of_receipt in enumerate(image.receipts):
        try:
            accepted[place] = OcrReceipt.model_validate(content_of_receipt)
        except ValidationError as error:
            refused[place] = RefusedReceipt(faults=tuple(_faults(error, f"receipts.{place}")))
    # It is unknown which of two receipts with one number is meant, so neither is taken.
    counts = Counter(receipt.receipt_id for receipt in accepted.values())
    for place, receipt in list(accepted.items()):
        if counts[receipt.receipt_id] > 1:
            del accepted[place]
            fault = f"receipts.{place}: receipt_id is repeated: [{receipt.receipt_id}]"
            refused[place] = RefusedReceipt(faults=(fault,))
    in_order = tuple(refused[place] for place in sorted(refused))
    if not accepted:
        raise _refusal(source, [fault for receipt in in_order for fault in receipt.faults])
    return OcrDocument(image_id=image.image_id, receipts=tuple(accepted.values()), refused=in_order)


def refusal_of(refused: Sequence[RefusedReceipt], source: str) -> PermanentError:
    """The error of receipts that were refused while others of their image were accepted."""
    faults = [fault for receipt in refused for fault in receipt.faults]
    way_out = "correct what is named and upload the document again; its other receipts were accepted"
    return _refusal(source, faults, way_out)


def require_document_size(size: int, source: str) -> None:
    """Refuse a document that is too large to be read.

    Args:
        size: in bytes.
        source: where it is from, for the error.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID.
    """
    if size > MAXIMUM_DOCUMENT_BYTES:
        raise PermanentError(
            ErrorCode.OCR_DOCUMENT_INVALID,
            value=f"{source[-SOURCE_SHOWN:]} has {size} bytes",
            rule=f"an OCR result has at most {MAXIMUM_DOCUMENT_BYTES} bytes",
            way_out="upload the receipts of the image in several documents, each with an image_id of its own",
        )


def _require_unique(identifiers: Iterable[int], what: str) -> None:
    repeated = sorted(identifier for identifier, count in Counter(identifiers).items() if count > 1)
    if repeated:
        shown = ", ".join(map(str, repeated[:MAXIMUM_FAULTS_SHOWN])) + (
            ", ..." * (len(repeated) > MAXIMUM_FAULTS_SHOWN)
        )
        raise ValueError(f"{what} is repeated: [{shown}]")


def _faults(error: ValidationError, place: str = "") -> list[str]:
    found = []
    for fault in error.errors(include_url=False, include_input=False):
        where = ".".join(filter(None, (place, *map(str, fault["loc"])))) or "document"
        # pydantic puts "Value error, " before what a validator of this module says.
        reason = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else fault["msg"]
        found.append(f"{where}: {reason}")
    return found


def _refusal(
    source: str, faults: Sequence[str], way_out: str = "correct the document and upload it again"
) -> PermanentError:
    shown = "; ".join(faults[:MAXIMUM_FAULTS_SHOWN])
    if len(faults) > MAXIMUM_FAULTS_SHOWN:
        shown += f"; and {len(faults) - MAXIMUM_FAULTS_SHOWN} more faults"
    return PermanentError(
        ErrorCode.OCR_DOCUMENT_INVALID,
        value=f"{source[-SOURCE_SHOWN:]}: {shown}",
        rule="an OCR result has the form and the bounds of docs/contracts.md",
        way_out=way_out,
    )
