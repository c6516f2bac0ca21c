"""Whether a closed working copy may be published: it is opened, counted, read and asked, and the verdict is a value.

It opens the index through a private copy and may crash on a broken one, so production has it done by a child process
(``checking.py``). Nothing is published or changed here.
"""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.collections.chroma import ChromaIndex, open_private, record_id
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import INDEX_NAME, ROWS_NAME, VECTORS_NAME
from pipeline.collections.missed import read_missed
from pipeline.collections.recall import describe_losses, limits_of, measure_recall
from pipeline.collections.vectors import NUMBER, VectorFile
from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, RetryableError
from pipeline.storage import full_disk, is_for_lack_of_room


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What to look at.

    Attributes:
        directory: a closed working copy.
        private_directory: where Chroma's private copy is made.
        rows: rows that are in it.
        texts: distinct texts that are in it.
        dimensions: numbers a vector.
        asked_from: texts before this position were asked for before, see ``measure_recall``; 0 asks all.
    """

    collection: CollectionName
    directory: str
    private_directory: str
    rows: int
    texts: int
    dimensions: int
    asked_from: int

    @property
    def size(self) -> int:
        """Bytes of the vectors."""
        return self.texts * self.dimensions * NUMBER.itemsize


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check found.

    Attributes:
        faults: why the copy must not be published, each a sentence; nothing when it is sound.
        losses: what the index falls short of, each a sentence; a stronger one may not.
        missed: positions of the texts that the index misses, to be published with it (``missed.py``).
        no_room: why the local disk had no room for the check; empty when it had. It then says nothing of the copy.
    """

    faults: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    missed: tuple[int, ...] = ()
    no_room: str = ""


def judge(inspection: Inspection) -> Verdict:
    """Open, count, read and ask a closed copy."""
    directory = Path(inspection.directory)
    database = CollectionDatabase.open(directory / ROWS_NAME)
    try:
        # Not mapped: the merge is in memory beside this process.
        vectors = VectorFile.open(directory / VECTORS_NAME, inspection.dimensions, is_mapped=False)
        try:
            index = open_private(inspection.collection, directory / INDEX_NAME, Path(inspection.private_directory))
            try:
                faults = tuple(_faults(inspection, database, vectors, index))
                return Verdict(faults=faults) if faults else _recall(inspection, database, vectors, index)
            finally:
                index.close()
        finally:
            vectors.close()
    finally:
        database.close()


def judge_where_there_is_room(inspection: Inspection) -> Verdict:
    """As ``judge``; but a full disk is reported as such: it is no fault of the copy."""
    try:
        return judge(inspection)
    except Exception as error:
        if not is_for_lack_of_room(error, Path(inspection.private_directory)):
            raise
        traceback.print_exc()
        return Verdict(no_room=str(error))


def _faults(
    inspection: Inspection, database: CollectionDatabase, vectors: VectorFile, index: ChromaIndex
) -> Iterator[str]:
    yield from database.check()
    yield from database.rows.faults()
    found = (database.rows.count, database.rows.text_count, len(vectors), database.distinct.noted)
    expected = (inspection.rows, inspection.texts, inspection.texts, inspection.texts)
    if found != expected:
        yield f"rows, texts, vectors and their digests are {found}, {expected} were written"
    texts = database.rows.texts()
    wanted = {record_id(texts[position]): position for position in database.distinct.records()}
    records = index.identifiers()
    if missing := sorted(wanted[record] for record in wanted.keys() - records):
        yield f"{len(missing)} texts have no record, for example {texts[missing[0]][:80]!r}"
    if others := len(records - wanted.keys()):
        yield f"{others} records belong to no text"
    for start, block in vectors.blocks():
        norms = np.linalg.norm(block, axis=1)
        if not (np.isfinite(norms).all() and (norms > 0).all()):
            yield f"vectors from position {start} on are not finite, or have no direction"


def _recall(inspection: Inspection, database: CollectionDatabase, vectors: VectorFile, index: ChromaIndex) -> Verdict:
    texts = database.rows.texts()
    recall = measure_recall(
        index,
        texts,
        vectors,
        database.distinct.records(),
        search_width=index.parameters.ef_search,
        start=inspection.asked_from,
        known=read_missed(Path(inspection.directory), len(texts)),
    )
    return Verdict(losses=tuple(describe_losses(recall, texts, vectors.size)), missed=recall.missed)


def require_sound(inspection: Inspection, verdict: Verdict) -> None:
    """Raise what a verdict says: STORAGE_FULL, SNAPSHOT_UNSOUND, SNAPSHOT_RECALL, or nothing."""
    if verdict.no_room:
        raise full_disk(verdict.no_room, inspection.private_directory)
    if verdict.faults:
        raise unsound(inspection, "; ".join(verdict.faults))
    if verdict.losses:
        limits = limits_of(inspection.size)
        raise RetryableError(
            ErrorCode.SNAPSHOT_RECALL,
            value=f"a copy of {inspection.collection}: {'; '.join(verdict.losses)}",
            rule=f"a published index of this size misses at most {limits.most_missed:.0%} of its texts, and recall at "
            f"ten is at least {limits.least_recall} of an exact scan",
            way_out="the index is built again with stronger parameters; when the strongest falls short too, nothing is "
            "published and the runs stay MERGED: look for many texts with equal vectors",
        )


def unsound(inspection: Inspection, reason: str) -> RetryableError:
    """The error of a copy that must not be published."""
    return RetryableError(
        ErrorCode.SNAPSHOT_UNSOUND,
        value=f"a copy of {inspection.collection}: {reason}",
        rule="what is published was opened, counted and read by another process",
        way_out="nothing was published; the working copy is discarded and the runs are merged again",
    )
