"""One published version, open for reading: neighbours, search, receipts, merchants. Never the working copy.

Up to ``EXACT_BYTES`` of vectors a reader opens two files of the version, rows and vectors, and copies nothing; above,
it opens the Chroma collection as well, through a private copy. ``reader.py`` knows which version is current.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.collections.chroma import ChromaIndex, open_private
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import (
    INDEX_NAME,
    MANIFEST_NAME,
    MISSED_NAME,
    ROWS_NAME,
    VECTORS_NAME,
    Pointer,
)
from pipeline.collections.letters import closeness, nearly
from pipeline.collections.missed import corrupt_list, read_missed
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import KnownMerchant, Row
from pipeline.collections.search import (
    EXACT_BYTES,
    PROPOSED,
    PROPOSED_BY_LETTERS,
    RANKED,
    Filter,
    Hit,
    SearchMode,
    fuse,
    is_coincidence,
    is_scanned,
    put_first,
)
from pipeline.collections.vectors import VectorFile
from pipeline.collections.versions import files_of
from pipeline.contracts.identifiers import CollectionName

EVERYTHING = Filter()
CONTAINING = 400
"""Texts that contain a query and are ordered by how: a short price is a part of many longer numbers."""


class PublishedCollection:
    """One version, open for reading until ``close``. Build it with ``reader.open_published``.

    Args:
        collection: its name.
        pointer: what ``CURRENT`` says of it.
        directory: of the version.
        private_directory: where the Chroma collection is copied to when it is needed.
        exact_bytes: see ``EXACT_BYTES``; a test passes another number.
    """

    def __init__(
        self,
        collection: CollectionName,
        pointer: Pointer,
        directory: Path,
        private_directory: Path,
        exact_bytes: int = EXACT_BYTES,
    ) -> None:
        self._collection: CollectionName = collection
        self._pointer = pointer
        self._directory = directory
        self._private = private_directory
        self._exact_bytes = exact_bytes
        self._index: ChromaIndex | None = None
        self._missed: list[int] | None = None
        self._merchants: list[KnownMerchant] | None = None
        self._database = CollectionDatabase.open(directory / ROWS_NAME)
        try:
            self._vectors = VectorFile.open(directory / VECTORS_NAME, pointer.dimensions)
        except BaseException:
            self._database.close()
            raise

    @property
    def collection(self) -> CollectionName:
        """The collection's name."""
        return self._collection

    @property
    def version(self) -> str:
        """The version's name."""
        return self._pointer.version

    @property
    def pointer(self) -> Pointer:
        """What ``CURRENT`` says of it."""
        return self._pointer

    @property
    def directory(self) -> Path:
        """Of the version; nobody writes to it."""
        return self._directory

    @property
    def count(self) -> int:
        """Rows in the version."""
        return self._pointer.count

    @property
    def text_count(self) -> int:
        """Distinct texts in the version."""
        return len(self._vectors)

    @property
    def database(self) -> CollectionDatabase:
        """Rows and ledger, for reading."""
        return self._database

    @property
    def vectors(self) -> VectorFile:
        """The vectors of the texts, by position."""
        return self._vectors

    def query(self, vectors: np.ndarray, limit: int, only: Filter = EVERYTHING) -> list[list[Hit]]:
        """The nearest rows of each vector, nearest first; rows of one text in the order of receipts.

        Args:
            vectors: queries x dimensions.
            limit: rows a query, at most.
            only: which receipts; the answer is as exact as without.
        """
        if self.text_count == 0 or len(vectors) == 0:
            return [[] for _ in vectors]
        ranked = self._nearest(np.asarray(vectors, dtype=np.float32), limit, None, only)
        return [
            self._hits(positions, dict(zip(positions, distances, strict=True)), limit, only)
            for positions, distances in ranked
        ]

    def search(
        self,
        text: str,
        vector: np.ndarray | None,
        *,
        limit: int,
        mode: SearchMode = "hybrid",
        only: Filter = EVERYTHING,
        maximum_distance: float | None = None,
        without_coincidences: bool = False,
    ) -> list[Hit]:
        """Rows for a text that a person typed, best first.

        Texts that contain it as it is come first, then those that are it but for one typing error, then neighbours by
        vector and hits by letters, fused by rank.

        Args:
            text: what was typed; not empty.
            vector: its embedding. Mode ``text`` uses it for distances only and also takes None; distances are then NaN.
            limit: rows, at most.
            mode: ``vector`` asks neighbours alone, ``text`` letters alone.
            only: which receipts.
            maximum_distance: rows farther away are left out.
            without_coincidences: leave out what ``is_coincidence``; only for vectors of hashed letters, whose distance
                says nothing of the meaning.

        Raises:
            ValueError: without a vector, in another mode or with a maximum distance.
        """
        if vector is None and (mode != "text" or maximum_distance is not None):
            raise ValueError("only mode text without a maximum distance works without a vector")
        if self.text_count == 0:
            return []
        asked = None if vector is None else np.asarray(vector, dtype=np.float32).reshape(1, -1)
        by_letters, literal = [], []
        if mode != "vector":
            among = None if only.is_everything else set(self._positions(only))
            # Under a filter the best of all texts may all be sieved out: then every hit is asked for.
            wanted = max(RANKED, limit) if among is None else self.text_count
            kept = [
                position
                for position in self._database.rows.by_letters(text, wanted)
                if among is None or position in among
            ]
            literal = [
                position
                for position in self._database.rows.containing(text, max(CONTAINING, wanted))
                if among is None or position in among
            ]
            by_letters = kept[: max(RANKED, limit)]
        near: list[int] = []
        if asked is not None and mode != "text":
            near = self._nearest(asked, max(RANKED, limit), text, only)[0][0]
        order = fuse([near, by_letters])
        if mode != "vector":
            texts = self._database.rows.texts_at(order)
            order = put_first(order, nearly(text, {position: texts[position] for position in order}))
        if literal:
            rank = {position: number for number, position in enumerate(order)}
            found = self._database.rows.texts_at(literal)
            literal.sort(key=lambda position: (closeness(text, found[position]), rank.get(position, len(rank))))
            order = put_first(order, literal)
        distances = dict.fromkeys(order, math.nan) if asked is None else self._distances(asked, order)
        if maximum_distance is not None:
            order = [position for position in order if distances[position] <= maximum_distance]
        if without_coincidences:
            texts = self._database.rows.texts_at(order)
            order = [at for at in order if not is_coincidence(text, texts[at], distances[at])]
        return self._hits(order, distances, limit, only)

    def merchants(self) -> list[KnownMerchant]:
        """The merchants of the version's receipts."""
        if self._merchants is None:
            self._merchants = self._database.rows.merchants()
        return self._merchants

    def receipt(self, key: ReceiptKey) -> list[Row]:
        """The rows of a receipt, by line and word; empty when the version has none."""
        return self._database.rows.rows_of_receipt(key)

    def receipts(self, image_prefix: str) -> list[ReceiptKey]:
        """The receipts whose image id begins so."""
        return self._database.rows.receipts(image_prefix)

    def rows(self) -> Iterator[Row]:
        """Every row."""
        return self._database.rows.all_rows()

    def open_index(self) -> ChromaIndex:
        """The version's Chroma collection, opened at the first use; it closes with this."""
        if self._index is None:
            # First: once the index is open, the version may go.
            self.missed()
            self._index = open_private(self._collection, self._directory / INDEX_NAME, self._private)
        return self._index

    def missed(self) -> list[int]:
        """Positions of the texts that the index does not find, which are ranked beside what it proposes.

        Raises:
            PermanentError: SNAPSHOT_CORRUPT when the list is damaged, or gone and in the version's manifest.
        """
        if self._missed is None:
            named = read_missed(self._directory, self.text_count)
            if not named and not (self._directory / MISSED_NAME).exists():
                manifest = self._directory / MANIFEST_NAME
                # What is gone is not taken for a version that needs none.
                if MISSED_NAME in files_of(manifest.read_bytes(), str(manifest)):
                    raise corrupt_list(f"{self._directory / MISSED_NAME} is not there")
            # A record stands for all texts with its vector.
            self._missed = sorted(self._database.distinct.equal_to(named))
        return self._missed

    def close(self) -> None:
        """Release everything."""
        if self._index is not None:
            self._index.close()
            self._index = None
        self._vectors.close()
        self._database.close()

    def _nearest(
        self, vectors: np.ndarray, limit: int, text: str | None, only: Filter
    ) -> list[tuple[list[int], list[float]]]:
        """Positions and distances of each vector, enough texts for ``limit`` rows: each has at least one."""
        if not only.is_everything:
            among = np.asarray(self._positions(only), dtype=np.int64)
            found = self._vectors.nearest(vectors, limit, among) if len(among) else [(among, among)] * len(vectors)
        elif is_scanned(self._vectors.size, self._exact_bytes):
            found = self._vectors.nearest(vectors, limit)
        else:
            letters = [] if text is None else self._database.rows.by_letters(text, PROPOSED_BY_LETTERS)
            proposed = self.open_index().nearest_texts(vectors, max(PROPOSED, limit))
            found, besides = [], {*letters, *self.missed()}
            for vector, texts in zip(vectors, proposed, strict=True):
                known = {position for position in self._database.rows.positions(texts) if position is not None}
                among = np.asarray(sorted(self._database.distinct.equal_to(list(known)) | besides), dtype=np.int64)
                found += self._vectors.nearest(vector[None], limit, among)
        return [(list(map(int, positions)), list(map(float, distances))) for positions, distances in found]

    def _positions(self, only: Filter) -> list[int]:
        return self._database.rows.positions_of(*only.condition())

    def _distances(self, asked: np.ndarray, positions: Sequence[int]) -> dict[int, float]:
        if not positions:
            return {}
        ((found, distances),) = self._vectors.nearest(asked, len(positions), np.asarray(positions, dtype=np.int64))
        return dict(zip(map(int, found), map(float, distances), strict=True))

    def _hits(self, order: Sequence[int], distances: dict[int, float], limit: int, only: Filter) -> list[Hit]:
        condition, values = only.condition()
        hits: list[Hit] = []
        for position in order:
            hits += [
                Hit(id=row.id, text=row.text, metadata=row.metadata, distance=_not_negative(distances[position]))
                for row in self._database.rows.rows_of_text(position, condition, values, limit - len(hits))
            ]
            if len(hits) >= limit:
                break
        return hits


def _not_negative(distance: float) -> float:
    """A distance without what rounding takes below zero; NaN stays."""
    return 0.0 if distance < 0 else distance
