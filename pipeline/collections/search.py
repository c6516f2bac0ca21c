"""Which texts a search finds and in what order: neighbours by vector and hits by letters, fused by rank. Pure.

Reading vectors, letters and rows is ``reader.py``'s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.collections.letters import shares_letters
from pipeline.contracts.metadata import Metadata

SearchMode = Literal["hybrid", "vector", "text"]

EXACT_BYTES = 300_000 * 1_536 * 4
"""Up to so many bytes of vectors the nearest are found by an exact scan, which takes 0.11 to 0.14 seconds of them. An
index is twice as fast, but as large, in memory and to bring, and less exact (docs/facts.md, "Exact scan"). Above,
Chroma and the letters propose and the vectors rank."""
PROPOSED = 1_000
"""Texts that Chroma proposes above that number. It is the width of its search: with 200, an index of 300,000 texts
gives fewer of the ten nearest (docs/facts.md, "Links to what is missed")."""
PROPOSED_BY_LETTERS = 200
RANKED = 60
"""Texts of each ranking that are fused."""
FUSION_CONSTANT = 60
"""The constant of reciprocal rank fusion, as in Cormack, Clarke and Büttcher, SIGIR 2009."""

COINCIDENCE_DISTANCE = 0.65
"""Cosine distance of hashed letters above which a text that is not like the query in its letters is no match
(docs/benchmarks.md, "What a search leaves out")."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which receipts a search is about; what is None does not matter.

    Attributes:
        merchants: exact spellings.
        image_prefix: the image id, or how it begins.
        receipt_id: the receipt's number in the image.
    """

    merchants: tuple[str, ...] | None = None
    image_prefix: str | None = None
    receipt_id: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Filter()

    def condition(self) -> tuple[str, list[object]]:
        """A condition in SQL on the table of receipts, never empty, and the values of its placeholders."""
        parts: list[str] = ["receipts.rows > 0"]
        values: list[object] = []
        if self.merchants is not None:
            parts.append(f"receipts.merchant_name IN ({', '.join('?' * len(self.merchants))})")
            values += self.merchants
        if self.image_prefix is not None:
            parts.append("substr(receipts.image_id, 1, ?) = ?")
            values += [len(self.image_prefix), self.image_prefix]
        if self.receipt_id is not None:
            parts.append("receipts.receipt_id = ?")
            values.append(self.receipt_id)
        return " AND ".join(parts), values


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A row that a search found.

    Attributes:
        distance: cosine distance of its text's vector to the query's, 0 to 2; NaN when the query came without a vector.
    """

    id: str
    text: str
    metadata: Metadata
    distance: float


def is_scanned(size: int, exact_bytes: int = EXACT_BYTES) -> bool:
    """Whether readers scan vectors of so many bytes, and ask no index."""
    return size <= exact_bytes


def is_coincidence(query: str, text: str, distance: float) -> bool:
    """Whether a text is near a query only because its hashed letters fell into the same places."""
    return distance > COINCIDENCE_DISTANCE and not shares_letters(query, text)


def fuse(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Reciprocal rank fusion: a text high in any ranking is high in the result; the lower number first when equal."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, position in enumerate(ranking, 1):
            scores[position] = scores.get(position, 0.0) + 1 / (FUSION_CONSTANT + rank)
    return sorted(scores, key=lambda position: (-scores[position], position))


def put_first(order: Iterable[int], first: Iterable[int]) -> list[int]:
    """The same order, with some in front."""
    return list(dict.fromkeys((*first, *order)))
