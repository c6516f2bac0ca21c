"""The NDJSON artifacts of one receipt and their manifest: rows, encoding, verification.

Pure; the reading and writing is in ``pipeline/objects.py``.
"""

from collections.abc import Sequence
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.contracts.identifiers import sha256_hex
from pipeline.contracts.limits import MerchantName, Number
from pipeline.contracts.ocr import BoundingBox, Confidence
from pipeline.contracts.versions import CONTRACT_VERSION
from pipeline.errors import ErrorCode, PermanentError


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LineRow(_Row):
    """One line of ``lines.ndjson``. A noise row is kept for the record and never embedded."""

    line_id: Number
    text: str
    confidence: Confidence
    bounding_box: BoundingBox
    is_noise: bool


class WordRow(_Row):
    """One line of ``words.ndjson``."""

    line_id: Number
    word_id: Number
    text: str
    confidence: Confidence
    bounding_box: BoundingBox
    is_noise: bool


class Manifest(_Row):
    """``manifest.json``: what the folder beside it holds."""

    version: str = CONTRACT_VERSION
    image_id: UUID
    receipt_id: Number
    lines_count: Annotated[int, Field(ge=0)]
    words_count: Annotated[int, Field(ge=0)]
    lines_sha256: str
    words_sha256: str
    merchant_name: MerchantName = None


Row = TypeVar("Row", LineRow, WordRow)


def encode_rows(rows: Sequence[LineRow] | Sequence[WordRow]) -> bytes:
    """One JSON object a line, UTF-8, a newline after each: the same rows give the same bytes."""
    return b"".join(row.model_dump_json().encode() + b"\n" for row in rows)


def decode_rows(
    content: bytes, row_type: type[Row], *, key: str, expected_count: int, expected_sha256: str
) -> list[Row]:
    """Decode an NDJSON artifact and compare it with what the manifest and the message say.

    Args:
        content: the object's bytes.
        row_type: ``LineRow`` or ``WordRow``.
        key: the object's key, for the error.
        expected_count: rows, noise included.
        expected_sha256: 64 hex digits.

    Raises:
        PermanentError: ARTIFACTS_MISMATCH when digest, count or a row's shape is not as announced.
    """

    def mismatch(value: str, rule: str, cause: Exception | None = None) -> PermanentError:
        error = PermanentError(
            ErrorCode.ARTIFACTS_MISMATCH,
            value=f"{key}: {value}",
            rule=rule,
            way_out="upload the receipt's OCR result again; the artifacts are written again under their own digest",
        )
        error.__cause__ = cause
        return error

    actual_sha256 = sha256_hex(content)
    if actual_sha256 != expected_sha256:
        raise mismatch(f"SHA-256 is {actual_sha256}", f"the message announced {expected_sha256}")
    try:
        rows = [row_type.model_validate_json(line) for line in content.splitlines()]
    except ValidationError as error:
        raise mismatch(str(error.errors()[0]["msg"]), f"every line is a {row_type.__name__}", error) from error
    if len(rows) != expected_count:
        raise mismatch(f"{len(rows)} rows", f"the message announced {expected_count}")
    return rows
