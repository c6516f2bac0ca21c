"""The metadata beside a vector: one builder for every path, with pinned types (``receipt_id`` is an int). Pure."""

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from pipeline.contracts.artifacts import LineRow, WordRow

Metadata = dict[str, str | int | float | bool]
"""What Chroma stores beside a vector: plain values, never empty."""
MERCHANT_NAME = "merchant_name"
MERCHANT_SOURCE = "merchant_source"


def row_metadata(
    image_id: UUID,
    receipt_id: int,
    row: "LineRow | WordRow",
    *,
    run_id: str,
    merchant_name: str | None,
    merchant_source: str,
) -> Metadata:
    """The metadata of a line's or a word's vector; a word has its own id beside its line's."""
    # Not at the head: what only reads runs needs the type of metadata, and no rows.
    from pipeline.contracts.artifacts import WordRow  # noqa: PLC0415

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
    if isinstance(row, WordRow):
        metadata["word_id"] = row.word_id
    if merchant_name is not None:
        # An absent name stays absent: Chroma has no null, and an empty string would look like a merchant.
        metadata[MERCHANT_NAME] = merchant_name
        metadata[MERCHANT_SOURCE] = merchant_source
    return metadata
