"""Whether Chroma finds the texts that it was given: each asked by its own vector, and its answers beside an exact scan.

An HNSW index may hold a record that no search reaches; counting or reading records never shows it. Used before a
version is published and by ``receipts reconcile``. What the index misses is returned, for ``missed.py``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.collections.chroma import ChromaIndex, record_id
from pipeline.collections.search import PROPOSED, is_scanned
from pipeline.collections.vectors import VectorFile

NARROW = 10
"""``ef_search`` of the first question. What a narrow search finds, a wide one finds too, and it takes a tenth of the
time (docs/facts.md, "Asking every text"). What it misses is asked again for as many answers as the collection's own
``ef_search``: a search is as wide as the larger of the two, and the index needs not be read again."""
BATCH_TEXTS = 500
FEW_LINKS = 1
"""An insertion takes links to other records away, and what has none is not found: such are asked again each time. They
are most of what an index misses (docs/facts.md, "Links to what is missed"); the others are noticed when all are
asked."""
SAMPLE_TEXTS, SAMPLE_TEXTS_AT_ONCE = 100, 20
RECALL_AT = 10
SAME = 1e-5
"""Cosine distance below which two float32 vectors count as equal."""

REBUILT_BYTES = 100_000 * 1_536 * 4
"""Of vectors: to build an index of more again may take longer than a merge has. 117,000 of 1,536 dimensions took five
minutes with the second parameters, on two processors that were busy with other work."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an index must give to be published.

    Attributes:
        most_missed: of a collection's texts, at most, that it misses.
        least_recall: of the exact ten nearest, over a sample.
    """

    most_missed: float
    least_recall: float


REBUILT = Limits(most_missed=0.05, least_recall=0.98)
"""The first parameters give 0.998 and more of 12,000 texts (docs/facts.md, "Index parameters")."""
SCANNED = Limits(most_missed=0.25, least_recall=0.9)
"""Readers scan, and the index is there for other programs."""
PROPOSING = Limits(most_missed=0.25, least_recall=0.98)
"""Readers rank what it proposes and what it misses; the latter takes the same share of a scan."""


@dataclass(frozen=True, kw_only=True)
class Recall:
    """What the index answered.

    Attributes:
        asked: texts that were asked by their own vector.
        missed: positions of the texts that the index does not find, ascending.
        at_ten: share of the exact ten nearest among what the index gives and it misses, which is what a reader ranks,
            over a sample; None when no sample was taken.
    """

    asked: int
    missed: tuple[int, ...]
    at_ten: float | None


def measure_recall(
    index: ChromaIndex,
    texts: Sequence[str],
    vectors: VectorFile,
    records: Sequence[int],
    *,
    search_width: int,
    start: int = 0,
    known: Collection[int] = (),
) -> Recall:
    """Ask an index, which afterwards searches narrowly and is to be closed.

    Args:
        index: a private copy.
        texts: all of the collection, by position.
        vectors: all of the collection.
        records: positions of the texts that have a record, see ``distinct.py``.
        search_width: the collection's own ``ef_search``.
        start: 0 asks every text and takes the sample; else only the texts from this position on, and those to whose
            records at most ``FEW_LINKS`` others link.
        known: positions that were missed before; those to which a record links now are asked again.
    """
    links = index.poorly_linked(FEW_LINKS) if start else {}
    # Before the first question: until then Chroma has not read the index.
    index.search_width(min(NARROW, search_width))
    # An insertion may take away the last link to another record, however far away it was asked for the last time.
    weak = {at: links[own] for at in records if (own := record_id(texts[at])) in links} if links else {}
    # What was not found and has no link now is not asked again: to name a text that is found does no harm.
    kept = {position for position in known if weak.get(position) == 0}
    asked = {*range(start, len(texts)), *weak, *known} - kept
    identifiers = {position: record_id(texts[position]) for position in records if position in asked}
    suspects = _not_found(index, identifiers, vectors, sorted(asked), 1)
    missed = sorted({*_not_found(index, identifiers, vectors, suspects, search_width), *kept})
    at_ten = None
    if start == 0 and len(texts) > 0:
        width = search_width if is_scanned(vectors.size) else max(PROPOSED, search_width)
        at_ten = _at_ten(index, vectors, identifiers, missed, width)
    return Recall(asked=len(asked), missed=tuple(missed), at_ten=at_ten)


def limits_of(size: int) -> Limits:
    """The limits of an index, by the bytes of the collection's vectors.

    No index that a merge can afford finds every text of a large collection (docs/facts.md, "Links to what is missed").
    """
    if size <= REBUILT_BYTES:
        return REBUILT
    return SCANNED if is_scanned(size) else PROPOSING


def describe_losses(recall: Recall, texts: Sequence[str], size: int) -> Iterator[str]:
    """What an index falls short of; nothing when it finds enough.

    Args:
        recall: measured.
        texts: all of the collection.
        size: bytes of their vectors.
    """
    limits = limits_of(size)
    if len(recall.missed) > limits.most_missed * len(texts):
        yield describe_missed(recall.missed, texts)
    if recall.at_ten is not None and recall.at_ten < limits.least_recall:
        yield f"recall at ten is {recall.at_ten:.3f} of an exact scan"


def describe_missed(missed: Sequence[int], texts: Sequence[str]) -> str:
    """A sentence about texts that an index misses, at least one."""
    example = texts[missed[0]][:80]
    return f"{len(missed)} of {len(texts)} texts are not found by their own vector, for example {example!r}"


def _not_found(
    index: ChromaIndex, records: Mapping[int, str], vectors: VectorFile, positions: Iterable[int], width: int
) -> list[int]:
    return [
        position
        for batch in _batches(positions)
        for position, answer in zip(batch, index.nearest(vectors.at(batch), width), strict=True)
        if not _is_found(records.get(position), answer, width)
    ]


def _is_found(record: str | None, answer: Sequence[tuple[str, float]], width: int) -> bool:
    if record is None:
        # It shares a record, which is asked for itself.
        return bool(answer) and answer[0][1] <= SAME
    # A record as near, of another vector, brings no reader this text; of more than an answer holds, any is right.
    is_full_of_same = 1 < width == len(answer) and answer[-1][1] <= SAME
    return is_full_of_same or any(identifier == record for identifier, _ in answer)


def _at_ten(
    index: ChromaIndex, vectors: VectorFile, records: Mapping[int, str], missed: Sequence[int], width: int
) -> float:
    positions = list(records)
    sample = positions[:: max(1, len(positions) // SAMPLE_TEXTS)][:SAMPLE_TEXTS]
    wanted = min(RECALL_AT, len(positions))
    # Only vectors that have a record: of ten texts with one vector the index can name one.
    among = None if len(positions) == len(vectors) else np.array(positions, dtype=np.int64)
    beside = np.array([position for position in missed if position in records], dtype=np.int64)
    right = 0
    for batch in _batches(sample, SAMPLE_TEXTS_AT_ONCE):
        asked = vectors.at(batch)
        ranked_too = vectors.nearest(asked, wanted, beside) if len(beside) else [((), ())] * len(asked)
        for (_, exact), proposed, (near, distances) in zip(
            vectors.nearest(asked, wanted, among), index.nearest(asked, max(wanted, width)), ranked_too, strict=True
        ):
            found = dict(proposed)
            found |= {records[int(position)]: float(at) for position, at in zip(near, distances, strict=True)}
            # By distance: of texts that are equally near, any is right.
            right += sum(distance <= exact[-1] + SAME for distance in sorted(found.values())[:wanted])
    return right / (wanted * len(sample))


def _batches(positions: Iterable[int], size: int = BATCH_TEXTS) -> Iterable[list[int]]:
    known = list(positions)
    return (known[start : start + size] for start in range(0, len(known), size))
