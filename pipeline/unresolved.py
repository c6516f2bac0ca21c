"""The receipts of a published version that have no merchant, as ``merchants/later.py`` asks for them. It only reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import Row
from pipeline.contracts.ocr import BoundingBox
from pipeline.merchants.later import PublishedReceipt

if TYPE_CHECKING:
    from pipeline.collections.published import PublishedCollection


@dataclass(frozen=True, kw_only=True)
class PublishedLine:
    """A line as it is published; noise is never published."""

    text: str
    bounding_box: BoundingBox
    is_noise: bool = False


class PublishedUnresolved:
    """The unresolved receipts of one published version of the lines.

    Attributes:
        asked: receipts that were given out.
    """

    def __init__(self, published: "PublishedCollection") -> None:
        self._published = published
        self.asked = 0

    @property
    def version(self) -> str:
        """The version's name."""
        return self._published.version

    def receipts_without_merchant(self, limit: int) -> Iterator[PublishedReceipt]:
        """At most ``limit`` receipts, drawn at random when there are more."""
        for key in self._published.database.rows.receipts_without_merchant(limit):
            self.asked += 1
            yield self._receipt(key)

    def _receipt(self, key: ReceiptKey) -> PublishedReceipt:
        rows = self._published.receipt(key)
        return PublishedReceipt(
            key=key,
            lines=[PublishedLine(text=row.text, bounding_box=_box(row)) for row in rows],
            vectors=self._published.vectors.at([row.position for row in rows]),
        )


def _box(row: Row) -> BoundingBox:
    x, y, width, height = (float(row.metadata.get(name, 0.0)) for name in ("x", "y", "width", "height"))
    # Checked when it was uploaded.
    return BoundingBox.model_construct(x=x, y=y, width=width, height=height)
