"""What one receipt makes: rows, texts, bytes and calls, each with its source; and how a collection grows. Pure.

Receipts are the made-up ones of ``benchmarks/receipts``, whose texts repeat as those of 626 real ones do
(docs/benchmarks.md, "Receipts, builds and search").
"""

from collections.abc import Mapping
from dataclasses import dataclass

LINES, WORDS = 55.3, 109.9
"""Rows that are embedded, the mean of 4,800 made-up receipts."""
OCR_BYTES = 24_600
"""Of an OCR result of one receipt, the mean of 400; the artifacts are as large together."""
DISTINCT_TEXTS, DISTINCT_TEXT_BYTES = 119, 971
"""Of lines and words together, the mean of 400: what is embedded."""
DISTINCT_LINES, DISTINCT_WORDS = 49, 92
BYTES_A_TOKEN = 3
"""Assumed: labels and numbers have shorter tokens than prose."""
LARGE_SHARE = 0.05
"""Of receipts with more rows than ``hybrid.largeReceiptRows``; 95 of 100 of SROIE have fewer than 263 (ICDAR 2019)."""

PICTURE_SECONDS = 1.1
"""Of stage 0's function, a picture of one page, the start of its child process included; processor seconds, measured
(docs/facts.md, "Reading a picture")."""
PICTURE_BYTES = 2_000_000
"""Assumed: the scans of SROIE have 440 kB on average, phones' JPEGs 2 to 15 MB."""
PICTURES_WRITTEN, PICTURES_READ = 2.0, 4.0
"""S3 calls a picture, beside those of a receipt: its upload and its outcome; the picture, its stamp, and those of
outcome and OCR result (``upload_images/pictures/handler.py``)."""
OBJECTS_WRITTEN, OBJECTS_READ = 6.0, 8.5
"""S3 calls a receipt: one upload, three artifacts and two deltas; HEAD is billed as GET. Counted
(docs/facts.md, "Calls that a receipt makes"); the merge's reads of deltas are among them."""
TABLE_WRITES, TABLE_READS = 24.0, 6.0
"""Request units a receipt: a transaction of a run of 2 kB and its counter (6), the run's index item (2), and four moves
of the run, each of the item and of its index item (16). Counted (the same place): one transaction and
four to five updates a receipt."""
RUN_BYTES = 2_000
LOG_BYTES = 1_000
"""Assumed, a receipt, of all functions together."""
VECTOR_COPIES = 2
"""A version has each vector in the file and in the index."""
TEXT_BYTES = 2_100
"""Of a text in a version beside its vectors: 165 MB at 70,000 words, 168 at 34,000 lines (docs/benchmarks.md)."""
FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How the number of distinct texts grows: ``texts`` at ``receipts``, then as a power of the receipts.

    Both were fitted to 300 and 4,800 made-up receipts (docs/facts.md, "How distinct texts grow").
    """

    receipts: int
    texts: float
    exponent: float

    def at(self, receipts: float) -> float:
        """Distinct texts of so many receipts."""
        return self.texts * (receipts / self.receipts) ** self.exponent

    def added(self, receipts: float) -> float:
        """New texts that one more receipt brings."""
        return self.exponent * self.at(receipts) / max(receipts, 1)


GROWTH: Mapping[str, Growth] = {
    "lines": Growth(receipts=300, texts=6_476, exponent=0.797),
    "words": Growth(receipts=300, texts=6_908, exponent=0.689),
}


def version_bytes(collection: str, receipts: float, dimensions: int) -> float:
    """Of a published version of a collection that holds so many receipts."""
    return GROWTH[collection].at(receipts) * (VECTOR_COPIES * FLOAT_BYTES * dimensions + TEXT_BYTES)


def delta_bytes(dimensions: int) -> float:
    """Of both deltas of a receipt, float32."""
    return (DISTINCT_LINES + DISTINCT_WORDS) * FLOAT_BYTES * dimensions
