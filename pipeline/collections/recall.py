"""Whether Chroma finds the texts that it was given: each asked by its own vector, and its answers beside an exact scan.

An HNSW index may hold a record that no search reaches; counting or reading records never shows it. Used before a
version is published and by ``receipts reconcile``. It judges nothing: what is lost is returned.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.collections.chroma import ChromaIndex, record_id
from pipeline.collections.vectors import VectorFile

NARROW = 10
"""``ef_search`` of the first question. What a narrow search finds, a wide one finds too, and it takes a tenth of the
time (docs/facts.md, "Asking every text"). What it misses is asked again for as many answers as the collection's own
``ef_search``: a search is as wide as the larger of the two, and the index needs not be read again."""
BATCH_TEXTS = 500
NEIGHBOURS_ASKED = 1
"""Of each new text: an insertion changes the links of texts near it, so they are the ones that it may cut off."""
SAMPLE_TEXTS = 100
RECALL_AT = 10
SAME = 1e-5
"""Cosine distance below which two float32 vectors count as equal: another text with the same vector counts as found."""

LEAST_RECALL = 0.98
"""Of the exact ten nearest, over a sample; the first parameters give 0.998 and more (docs/facts.md)."""


@dataclass(frozen=True, kw_only=True)
class Recall:
    """What the index answered.

    Attributes:
        asked: texts that were asked by their own vector.
        lost: positions of those that were not found.
        at_ten: share of the exact ten nearest that the index gives, over a sample; None when no sample was taken.
    """

    asked: int
    lost: tuple[int, ...]
    at_ten: float | None


def measure_recall(
    index: ChromaIndex,
    texts: Sequence[str],
    vectors: VectorFile,
    records: Sequence[int],
    *,
    search_width: int,
    start: int = 0,
) -> Recall:
    """Ask an index, which afterwards searches narrowly and is to be closed.

    Args:
        index: a private copy.
        texts: all of the collection, by position.
        vectors: all of the collection.
        records: positions of the texts that have a record, see ``distinct.py``.
        search_width: the collection's own ``ef_search``.
        start: 0 asks every text and takes the sample; else only the texts from this position on, and what is near them.
    """
    # Before the first question: until then Chroma has not read the index.
    index.search_width(min(NARROW, search_width))
    asked: set[int] = set()
    suspects: list[int] = []
    if start == 0:
        asked.update(range(len(texts)))
        suspects = _not_found(index, texts, vectors, range(len(texts)), 1)
    else:
        near: set[int] = set()
        position = {record_id(text): number for number, text in enumerate(texts)}
        for batch in _batches(range(start, len(texts))):
            answers = index.nearest(vectors.at(batch), 1 + NEIGHBOURS_ASKED)
            near |= {position[identifier] for answer in answers for identifier, _ in answer if identifier in position}
            suspects += _missing(batch, texts, answers)
        asked.update(range(start, len(texts)), near)
        suspects += _not_found(index, texts, vectors, sorted(near - set(range(start, len(texts)))), 1)
    lost = _not_found(index, texts, vectors, suspects, search_width)
    is_sampled = start == 0 and len(texts) > 0
    at_ten = _at_ten(index, vectors, records, search_width) if is_sampled else None
    return Recall(asked=len(asked), lost=tuple(lost), at_ten=at_ten)


def describe_losses(recall: Recall, texts: Sequence[str]) -> Iterator[str]:
    """What an index falls short of; nothing when it finds enough."""
    if recall.lost:
        example = texts[recall.lost[0]][:80]
        yield f"{len(recall.lost)} of {recall.asked} texts are not found by their own vector, for example {example!r}"
    if recall.at_ten is not None and recall.at_ten < LEAST_RECALL:
        yield f"recall at ten is {recall.at_ten:.3f} of an exact scan"


def _not_found(
    index: ChromaIndex, texts: Sequence[str], vectors: VectorFile, positions: Iterable[int], width: int
) -> list[int]:
    missing: list[int] = []
    for batch in _batches(positions):
        missing += _missing(batch, texts, index.nearest(vectors.at(batch), width))
    return missing


def _missing(batch: Sequence[int], texts: Sequence[str], answers: Sequence[Sequence[tuple[str, float]]]) -> list[int]:
    return [
        position
        for position, answer in zip(batch, answers, strict=True)
        if not answer or (answer[0][1] > SAME and answer[0][0] != record_id(texts[position]))
    ]


def _at_ten(index: ChromaIndex, vectors: VectorFile, records: Sequence[int], width: int) -> float:
    sample = records[:: max(1, len(records) // SAMPLE_TEXTS)][:SAMPLE_TEXTS]
    wanted = min(RECALL_AT, len(records))
    asked = vectors.at(sample)
    # Only vectors that have a record: of ten texts with one vector the index can name one.
    among = None if len(records) == len(vectors) else np.asarray(records, dtype=np.int64)
    right = 0
    for (_, exact), found in zip(
        vectors.nearest(asked, wanted, among), index.nearest(asked, max(wanted, width)), strict=True
    ):
        # By distance: of texts that are equally near, any is right.
        right += int(np.sum(np.array([distance for _, distance in found[:wanted]]) <= exact[-1] + SAME))
    return right / (wanted * len(sample))


def _batches(positions: Iterable[int]) -> Iterable[list[int]]:
    known = list(positions)
    return (known[start : start + BATCH_TEXTS] for start in range(0, len(known), BATCH_TEXTS))
