"""The working copy of one collection on local disk: rows, vectors and index, disposable, trusted while warm.

A batch is written to the rows and vectors at once. The Chroma collection and the letters follow when the copy is
sealed, which is before each publication: a text that comes and goes in between never reaches them. When a text was
removed, both are built again, because a removed text must stay in no byte of the next version and Chroma 1.5.9 may lose
live records after a deletion (chroma-core/chroma issue 7758). After any doubt the whole copy is deleted and restored.

Longer than most modules, because one object owns the three kinds of files that must agree.
"""

import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from compaction_handler.planning import Plan
from pipeline.collections import chroma
from pipeline.collections.chroma import CHUNK_TEXTS, PARAMETERS, ChromaIndex
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import INDEX_NAME, MISSED_NAME, ROWS_NAME, VECTORS_NAME
from pipeline.collections.ledger import Ledger, RunOutcome
from pipeline.collections.missed import missed_files
from pipeline.collections.private import PrivateDirectory
from pipeline.collections.receipts import ReceiptKey, ReceiptState
from pipeline.collections.rows import NewRow, RowTable, parse_identifier
from pipeline.collections.vectors import VectorFile
from pipeline.collections.versions import copy_verified
from pipeline.contracts.delta import Delta
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.metadata import Metadata
from pipeline.errors import ErrorCode, RetryableError
from pipeline.memory import give_back

PARAMETERS_FACT = "index_parameters"
"""Under this name the file notes which of ``PARAMETERS`` its index was built with."""
ASKED_FACT = "texts_asked_whole"
"""And under this, how many texts there were when all of them were asked for: of a published version, with success."""

GROWTH_ASKED_ANEW = 2.0
"""What lost its links is asked each time (``recall.py``), so to ask all is for the little that is missed otherwise."""


class WorkingCopy:
    """One collection, open for writing by this process alone.

    Args:
        collection: its name.
        parent: the directory on local disk under which the copy gets a directory of its own.
        dimensions: numbers a vector.
        source: the published version to start from, verified as it is copied; None starts empty.
        base: the name of that version; empty when there is none.
    """

    def __init__(
        self, collection: CollectionName, *, parent: Path, dimensions: int, source: Path | None, base: str = ""
    ) -> None:
        self.identifier = uuid.uuid4().hex
        self.revision = 0
        self.base = base
        self.parameters = 0
        """Which of ``PARAMETERS`` the index has, or gets."""
        self._asked_whole = 0
        self._asked_to = 0
        self._private = PrivateDirectory.create(parent, f"{collection}-working")
        self._name: CollectionName = collection
        self._dimensions = dimensions
        self._database: CollectionDatabase | None = None
        self._vectors: VectorFile | None = None
        self._index: ChromaIndex | None = None
        self._indexed = 0
        try:
            if source is not None:
                copy_verified(source, self.directory)
            self._open(create=source is None)
            self._indexed = self._opened.distinct.noted
            if source is not None:
                # What was published was asked for; the same files give the same answers.
                self._asked_whole, self._asked_to = int(self._opened.fact(ASKED_FACT) or 0), self._indexed
        except BaseException:
            self.discard()
            raise

    @property
    def directory(self) -> Path:
        """Its directory."""
        return self._private.path

    @property
    def stamp(self) -> str:
        """Which copy at which revision; the lease keeps it, so a later merge knows whether this copy wrote last."""
        return f"{self.identifier}:{self.revision}"

    @property
    def rows(self) -> RowTable:
        """Rows and texts."""
        return self._opened.rows

    @property
    def ledger(self) -> Ledger:
        """What the copy holds."""
        return self._opened.ledger

    @property
    def count(self) -> int:
        """Rows in the copy."""
        return self.rows.count

    @property
    def text_count(self) -> int:
        """Distinct texts in the copy."""
        return self.rows.text_count

    def asked_from(self, count: int) -> int:
        """From which position on the ``count`` texts must be asked for before a publication; 0 for all of them.

        All of them when the index was built again, when it is not known that they ever were, and when there are
        twice as many since; so a text is asked about twice while a collection grows, whatever its size.
        """
        is_whole = self._asked_whole == 0 or count > GROWTH_ASKED_ANEW * self._asked_whole
        return 0 if is_whole else self._asked_to

    def asked(self, start: int, count: int, missed: Sequence[int]) -> None:
        """Remember that the texts from ``start`` on were asked for, of ``count`` in all, and which the index misses."""
        self._asked_to = count
        if start == 0:
            self._asked_whole = count
        self._forget_missed()
        for name, content in missed_files(missed).items():
            (self.directory / name).write_bytes(content)

    def ask_whole(self) -> None:
        """Have all texts asked for the next time."""
        self._asked_whole = 0

    def _forget_missed(self) -> None:
        (self.directory / MISSED_NAME).unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes of its index, about: what a check reads into memory."""
        size = 0
        for path in (self.directory / INDEX_NAME).rglob("*"):
            with suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def apply(self, plan: Plan, deltas: Mapping[str, Delta], between_receipts: Callable[[], None]) -> None:
        """Write what a plan says and remember it in the ledger, in one transaction, then count it.

        Args:
            plan: what to write.
            deltas: by run, verified; one for every upsert of the plan.
            between_receipts: called after each receipt; it raises when the lease is gone.

        Raises:
            RetryableError: MERGE_INCOMPLETE when what is there afterwards is not what was written.
        """
        self.revision += 1
        keys = {*plan.upserts, *plan.removals}
        expected = (
            self.count
            - sum(map(self.rows.count_of, keys))
            + sum(len(deltas[operation.run_id].rows) for operation in plan.upserts.values())
        )
        arrived: list[np.ndarray] = []
        with self._opened.transaction():
            for key in plan.removals:
                self.rows.remove(key)
            for key, operation in plan.upserts.items():
                delta = deltas[operation.run_id]
                new = self.rows.replace(key, delta.texts, _new_rows(delta, plan.changes.get(key, {})))
                arrived.append(delta.vectors[new])
                between_receipts()
            for key, changes in plan.changes.items():
                if key not in plan.upserts:
                    self.rows.change(key, changes)
            if arrived:
                self._written.append(np.concatenate(arrived))
            removed = self.rows.remove_unused_texts()
            if removed is not None:
                self._written.remove(removed.moves, removed.count)
                # Built again when it is sealed, letters and index.
                self._indexed = 0
            self.ledger.write(plan.states, plan.outcomes)
        found = self.count
        if found != expected or self.text_count != len(self._written):
            raise RetryableError(
                ErrorCode.MERGE_INCOMPLETE,
                value=f"{found} rows are in the working copy of {self._name} instead of {expected}, "
                f"{self.text_count} texts and {len(self._written)} vectors",
                rule="every row that is written or removed is counted afterwards",
                way_out="the working copy is discarded and the runs are merged again",
            )

    def fill(
        self,
        receipts: Iterable[tuple[ReceiptKey, Sequence[str], Sequence[NewRow], np.ndarray]],
        states: Mapping[ReceiptKey, ReceiptState],
        outcomes: Mapping[str, RunOutcome],
    ) -> None:
        """Fill an empty copy: of each receipt its distinct texts, its rows and a vector for each text."""
        self.revision += 1
        with self._opened.transaction():
            for key, texts, rows, vectors in receipts:
                self._written.append(vectors[self.rows.replace(key, texts, rows)])
            self.rows.remove_unused_texts()
            self.ledger.write(states, outcomes)

    def seal(self, between_chunks: Callable[[], None]) -> None:
        """Bring index and letters up to the texts and close the copy, after which its directory may be copied.

        Args:
            between_chunks: called after each chunk of texts; it raises when the lease is gone.
        """
        count = self.text_count
        is_rebuilt = self._indexed == 0
        if self._indexed < count or is_rebuilt:
            self._index_texts(between_chunks)
        # It is published only if the check, which follows, asks as this says.
        self._opened.note(ASKED_FACT, str(self._asked_whole if self.asked_from(count) else count))
        self.close()
        # What is checked next is read into memory by another process.
        give_back()
        chroma.clear_unused_places(self.directory / INDEX_NAME)
        if is_rebuilt:
            chroma.compact(self.directory / INDEX_NAME)
        self._indexed = count

    def rebuild(self, parameters: int, between_chunks: Callable[[], None]) -> None:
        """Build index and letters again with other parameters, then close the copy as ``seal`` does.

        Args:
            parameters: which of ``PARAMETERS``.
            between_chunks: see ``seal``.
        """
        self.reopen()
        self.parameters = parameters
        self._opened.note(PARAMETERS_FACT, str(parameters))
        self._indexed = 0
        self.seal(between_chunks)

    def close(self) -> None:
        """Close the files; ``reopen`` goes on."""
        if self._index is not None:
            self._index.close()
            self._index = None
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None
        if self._database is not None:
            self._database.close()
            self._database = None

    def reopen(self) -> None:
        """Open again after ``close``, unless it is open; nothing else has touched the directory."""
        if self._database is None:
            self._open(create=False)

    def discard(self) -> None:
        """Close and delete."""
        try:
            self.close()
        finally:
            self._private.remove()

    @property
    def _opened(self) -> CollectionDatabase:
        if self._database is None:
            raise ValueError("the working copy is closed")
        return self._database

    @property
    def _written(self) -> VectorFile:
        if self._vectors is None:
            raise ValueError("the working copy is closed")
        return self._vectors

    def _open(self, *, create: bool) -> None:
        rows, vectors = self.directory / ROWS_NAME, self.directory / VECTORS_NAME
        if create:
            self._database = CollectionDatabase.create(rows)
            self._vectors = VectorFile.create(vectors, self._dimensions)
        else:
            self._database = CollectionDatabase.open(rows, writable=True)
            self._vectors = VectorFile.open(vectors, self._dimensions, writable=True)
            self.parameters = min(int(self._database.fact(PARAMETERS_FACT) or 0), len(PARAMETERS) - 1)

    def _index_texts(self, between_chunks: Callable[[], None]) -> None:
        directory, start, vectors = self.directory / INDEX_NAME, self._indexed, self._written
        if start == 0:
            # In a new directory: the old one, whatever it says, is not asked.
            shutil.rmtree(directory, ignore_errors=True)
            self._asked_whole = 0
            self._forget_missed()
            self._index = ChromaIndex.create(directory, self._name, PARAMETERS[self.parameters])
        else:
            self._index = ChromaIndex.open(directory, self._name)
        with self._opened.transaction():
            if start == 0:
                self._opened.distinct.forget()
            for first in range(start, len(vectors), CHUNK_TEXTS):
                block = vectors.read(first, min(first + CHUNK_TEXTS, len(vectors)))
                new = [position - first for position in self._opened.distinct.note(first, block)]
                texts = self.rows.texts(first, first + len(block))
                self._index.add([texts[number] for number in new], block[new])
                between_chunks()
            self.rows.index_letters(start)
        if start == 0:
            self._opened.compact()


def _new_rows(delta: Delta, changes: Metadata) -> Sequence[NewRow]:
    return [
        NewRow(name=name, text=row.text, metadata={**row.metadata, **changes})
        for row in delta.rows
        if (name := parse_identifier(row.id)) is not None
    ]
