"""Matches of a search as the page shows them: by receipt, each receipt drawn with its hits on its own boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.drawing.receipt import place_of
from ops.drawing.sheet import Sheet, lay_out, part_of
from ops.published import published_version
from ops.searching import SearchResult
from ops.target import Target
from pipeline.collections.receipts import ReceiptKey

DRAWN = 6
"""Receipts that are drawn; the others are listed."""
DRAWING_WIDTH, DRAWING_HEIGHT = 300, 480
Match = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Card:
    """The matches on one receipt, the best first; ``sheet`` is None where it is not drawn."""

    image_id: str
    receipt_id: int
    merchant_name: str | None
    matches: tuple[Match, ...]
    sheet: Sheet | None

    @property
    def part(self) -> tuple[int, int]:
        """Top and height of what is shown of the sheet: what is around the best match."""
        return (0, 0) if self.sheet is None else part_of(self.sheet, place_of(self.matches[0]), DRAWING_HEIGHT)


def by_receipt(matches: Sequence[Match]) -> dict[ReceiptKey, list[Match]]:
    """Matches of one receipt together, receipts in the order of their best match; pure."""
    grouped: dict[ReceiptKey, list[Match]] = {}
    for match in matches:
        grouped.setdefault(ReceiptKey(str(match["image_id"]), int(match["receipt_id"])), []).append(match)
    return grouped


def cards_of(target: Target, result: SearchResult) -> tuple[Card, ...]:
    """Lay out the receipts that a search found.

    Raises:
        OperatorError: NOTHING_PUBLISHED.
    """
    grouped = by_receipt(result.matches)
    sheets: dict[ReceiptKey, Sheet] = {}
    with published_version(target, result.collection) as published:
        for key in list(grouped)[:DRAWN]:
            rows = [{"text": row.text, **row.metadata} for row in published.receipt(key)]
            hits = {place_of(match) for match in grouped[key]}
            if rows:
                sheets[key] = lay_out(rows, hits=hits, width=DRAWING_WIDTH)
    return tuple(
        Card(
            image_id=key.image_id,
            receipt_id=key.receipt_id,
            merchant_name=matches[0].get("merchant_name"),
            matches=tuple(matches),
            sheet=sheets.get(key),
        )
        for key, matches in grouped.items()
    )
