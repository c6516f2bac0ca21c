"""Receipts of the benchmark: rows as stage 2 writes them, with made-up text and vectors. Pure, and the same every time.

Vectors are of length 1 and lie around a few hundred centres, as embeddings of words that occur again and again do.
Vectors without any structure are three times slower to insert, which makes everything around the insertion look
cheap: measured, the ratios would flatter.
"""

from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from pipeline.contracts.artifacts import WordRow
from pipeline.contracts.delta import Delta, make_delta
from pipeline.contracts.identifiers import CollectionName, sha256_hex, word_vector_id
from pipeline.contracts.metadata import Metadata, row_metadata
from pipeline.contracts.ocr import BoundingBox

MODEL = "benchmark"
COLLECTION: CollectionName = "words"
"""Deltas of lines go there as well: the two collections differ in nothing but their names and the size of a delta."""
SEED = 20260102
CENTRES = 300
SPREAD = 0.5
"""Of the rows around their centre, in lengths of it a dimension: two rows of one centre have a cosine of about 0.8."""
WORDS_A_LINE = 4


@dataclass
class Receipts:
    """Makes deltas, each of another receipt.

    Args:
        dimensions: numbers a vector.
        number: of the next receipt; no two makers of one collection share any.
    """

    dimensions: int
    number: int = 1
    _random: np.random.Generator = field(init=False)
    _centres: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng((SEED, self.number))
        self._centres = np.random.default_rng(SEED).standard_normal((CENTRES, self.dimensions), dtype=np.float32)

    def delta(self, rows: int) -> Delta:
        """The delta of one new receipt."""
        identifier = sha256_hex(str(self.number).encode())[:32]
        image = UUID(identifier[::-1])
        self.number += 1
        return make_delta(
            collection=COLLECTION,
            run_id=identifier,
            image_id=image,
            receipt_id=1,
            model=MODEL,
            rows=[self._row(image, identifier, position) for position in range(rows)],
            vectors=self.vectors(rows),
        )

    def vectors(self, rows: int) -> np.ndarray:
        """Vectors of length 1, rows x dimensions, float32."""
        vectors = self._random.standard_normal((rows, self.dimensions), dtype=np.float32)
        vectors *= SPREAD
        vectors += self._centres[self._random.integers(0, CENTRES, rows)]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _row(self, image: UUID, run_id: str, position: int) -> tuple[str, str, Metadata]:
        line, word = divmod(position, WORDS_A_LINE)
        row = WordRow(
            line_id=line + 1,
            word_id=word + 1,
            text=f"word {self._random.integers(0, 10_000)}",
            confidence=0.97,
            bounding_box=BoundingBox(x=0.1 + 0.2 * word, y=min(line / 250, 0.99), width=0.18, height=0.004),
            is_noise=False,
        )
        return (
            word_vector_id(image, 1, row.line_id, row.word_id),
            row.text,
            row_metadata(image, 1, row, run_id=run_id, merchant_name="GREENLEAF MARKET", merchant_source="given"),
        )
