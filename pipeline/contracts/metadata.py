"""The metadata beside a vector: one builder for every path, with pinned types (``receipt_id`` is an int). Pure."""

from uuid import UUID

from pipeline.contracts.artifacts import LineRow, WordRow
from pipeline.contracts.delta import Metadata

MERCHANT_NAME = "merchant_name"
MERCHANT_SOURCE = "merchant_source"


def line_metadata(
    image_id: UUID, receipt_id: int, row: LineRow, *, run_id: str, merchant_name: str | None, merchant_source: str
) -> Metadata:
    """The metadata of a line's vector."""
    return _metadata(image_id, receipt_id, row, run_id, merchant_name, merchant_source)


def word_metadata(
    image_id: UUID, receipt_id: int, row: WordRow, *, run_id: str, merchant_name: str | None, merchant_source: str
) -> Metadata:
    """The metadata of a word's vector: a line's and the word's own id."""
    return {**_metadata(image_id, receipt_id, row, run_id, merchant_name, merchant_source), "word_id": row.word_id}


def _metadata(
    image_id: UUID,
    receipt_id: int,
    row: LineRow | WordRow,
    run_id: str,
    merchant_name: str | None,
    merchant_source: str,
) -> Metadata:
    metadata: Metadata = {
        "image_id": str(image_id),
        "receipt_id": receipt_id,
        "line_id": row.line_id,
        "run_id": run_id,
        "confidence": row.confidence,
        "x": row.bounding_box.x,
        "y": row.bounding_box.y,
        "width": row.bounding_box.width,
        "height": row.bounding_box.height,
    }
    if merchant_name is not None:
        # An absent name stays absent: Chroma has no null, and an empty string would look like a merchant.
        metadata[MERCHANT_NAME] = merchant_name
        metadata[MERCHANT_SOURCE] = merchant_source
    return metadata
