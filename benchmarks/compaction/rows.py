"""Deltas of made-up receipts, as stage 2 writes them: their texts repeat, their vectors are of their texts.

Equal texts have equal vectors and similar ones are near each other, as with any embedder; vectors without that
structure are inserted and found quite differently. No file is written here and no service is called.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

import numpy as np

from benchmarks.receipts.generator import generate_all
from pipeline.contracts.artifacts import LineRow, WordRow
from pipeline.contracts.delta import Delta, make_delta
from pipeline.contracts.identifiers import CollectionName, line_vector_id, sha256_hex, word_vector_id
from pipeline.contracts.metadata import Metadata, row_metadata
from pipeline.contracts.ocr import OcrDocument
from pipeline.embedding.embedders.hashing import HashingEmbedder
from upload_images.export import is_noise

MODEL = "benchmark"
COLLECTION: CollectionName = "words"
"""The collection of the benchmark of merges; deltas of the size of a receipt's lines go there as well."""
MERCHANT_SOURCE = "given"


@dataclass(frozen=True, kw_only=True)
class _Source:
    """One row before its delta gives it an id; ``line`` counts lines over all receipts."""

    line: int
    row: LineRow | WordRow
    merchant_name: str | None


@dataclass
class Receipts:
    """Makes deltas, each of another receipt.

    A delta has as many rows as are asked for, whatever a receipt has: deltas are consecutive pieces of one sequence of
    receipts, so that texts repeat across deltas as they do in the receipts.

    Args:
        dimensions: numbers a vector.
        number: of the next receipt; no two makers of one collection share any.
        collection: whether rows are words or lines.
        documents: the receipts; made-up ones from ``number`` on when there are none. Given ones end.
        distinct: leave out a row whose text came before, so that a collection has as many texts as rows.
        with_noise: keep rows without a letter or digit, which stage 2 does not embed.
    """

    dimensions: int
    number: int = 1
    collection: CollectionName = COLLECTION
    documents: Iterable[OcrDocument] | None = None
    distinct: bool = False
    with_noise: bool = False
    _rows: Iterator[_Source] = field(init=False)
    _vectors: "TextVectors" = field(init=False)

    def __post_init__(self) -> None:
        documents = generate_all(self.number) if self.documents is None else self.documents
        self._rows = _sources(documents, self.collection, with_noise=self.with_noise)
        if self.distinct:
            self._rows = _first_ones(self._rows)
        self._vectors = TextVectors(self.dimensions)

    def delta(self, rows: int) -> Delta:
        """The delta of one new receipt."""
        identifier = sha256_hex(str(self.number).encode())[:32]
        self.number += 1
        return _delta(self.collection, identifier, list(islice(self._rows, rows)), self._vectors)

    def vectors(self, rows: int) -> np.ndarray:
        """Vectors of the next rows, rows x dimensions, float32, of length 1."""
        return self._vectors.of([source.row.text for source in islice(self._rows, rows)])


class TextVectors:
    """The hashing embedder's vectors; each different text is embedded once.

    Args:
        dimensions: numbers a vector.
    """

    def __init__(self, dimensions: int) -> None:
        self._embedder = HashingEmbedder(dimensions)
        self._known: dict[str, np.ndarray] = {}

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of some texts, len(texts) x dimensions, float32."""
        unknown = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(unknown, self._embedder.embed(unknown), strict=True))
        return np.stack([self._known[text] for text in texts])


def _first_ones(sources: Iterable[_Source]) -> Iterator[_Source]:
    seen: set[str] = set()
    for source in sources:
        if source.row.text not in seen:
            seen.add(source.row.text)
            yield source


def _sources(documents: Iterable[OcrDocument], collection: CollectionName, *, with_noise: bool) -> Iterator[_Source]:
    """Every row of some receipts, in order."""
    line_count = 0
    for document in documents:
        for receipt in document.receipts:
            for line in receipt.lines:
                line_count += 1
                rows: Iterator[LineRow | WordRow] = (
                    iter([LineRow(**line.model_dump(exclude={"words"}), is_noise=is_noise(line.text))])
                    if collection == "lines"
                    else (
                        WordRow(**word.model_dump(), line_id=line.line_id, is_noise=is_noise(word.text))
                        for word in line.words
                    )
                )
                for row in rows:
                    if with_noise or not row.is_noise:
                        yield _Source(line=line_count, row=row, merchant_name=receipt.merchant_name)


def _delta(collection: CollectionName, run_id: str, sources: Sequence[_Source], vectors: TextVectors) -> Delta:
    """The one place that knows how a delta is built."""
    image = UUID(run_id[::-1])
    merchant_name = sources[0].merchant_name
    rows: list[tuple[str, str, Metadata]] = []
    for source in sources:
        # A delta's lines count from 1, also where it begins in the middle of a receipt.
        row = source.row.model_copy(update={"line_id": source.line - sources[0].line + 1})
        identifier = (
            word_vector_id(image, 1, row.line_id, row.word_id)
            if isinstance(row, WordRow)
            else line_vector_id(image, 1, row.line_id)
        )
        metadata = row_metadata(
            image, 1, row, run_id=run_id, merchant_name=merchant_name, merchant_source=MERCHANT_SOURCE
        )
        rows.append((identifier, row.text, metadata))
    return make_delta(
        collection=collection,
        run_id=run_id,
        image_id=image,
        receipt_id=1,
        model=MODEL,
        rows=rows,
        vectors=vectors.of([text for _, text, _ in rows]),
    )
