"""Lines of invented receipts, for tests of merchant resolution."""

from collections.abc import Sequence

from pipeline.contracts.artifacts import LineRow
from pipeline.contracts.ocr import BoundingBox


def rows(*texts: str, places: Sequence[int] | None = None) -> list[LineRow]:
    """Lines in the document's order; ``places`` says how far down each is, from the top downwards without it."""
    return [
        LineRow(
            line_id=number,
            text=text,
            confidence=0.9,
            bounding_box=BoundingBox(x=0.1, y=place / (len(texts) + 1), width=0.5, height=0.01),
            is_noise=not any(character.isalnum() for character in text),
        )
        for number, (text, place) in enumerate(zip(texts, places or range(len(texts)), strict=True), start=1)
    ]
