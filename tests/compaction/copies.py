"""Working copies and versions that a test fills itself, without runs, a bucket or a table."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import chromadb
import numpy as np

from compaction_handler.soundness import Inspection
from compaction_handler.storing import copy_version, write_current
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import LAYOUT, VECTORS_NAME, Pointer
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import NewRow, RowName

KEY = ReceiptKey(str(UUID(int=1)), 1)
FilledReceipt = tuple[ReceiptKey, Sequence[str], Sequence[NewRow], np.ndarray]


def receipt(number: int, texts: Sequence[str], vectors: np.ndarray, **metadata: Any) -> FilledReceipt:
    """A receipt of image ``number`` with one line a text."""
    key = ReceiptKey(str(UUID(int=number)), 1)
    names = [RowName(key, line, 0) for line in range(1, len(texts) + 1)]
    rows = [NewRow(name=name, text=text, metadata=dict(metadata)) for text, name in enumerate(names)]
    return key, texts, rows, np.asarray(vectors, dtype=np.float32)


def filled_copy(parent: Path, *receipts: FilledReceipt) -> WorkingCopy:
    """An open copy of some receipts, not sealed."""
    copy = WorkingCopy("lines", parent=parent, dimensions=receipts[0][3].shape[1], source=None)
    copy.fill(receipts, {}, {})
    return copy


def sealed_copy(parent: Path, texts: Sequence[str], vectors: np.ndarray) -> WorkingCopy:
    """A sealed copy of one receipt with one line a text."""
    copy = filled_copy(parent, receipt(1, texts, vectors))
    copy.seal(lambda: None)
    return copy


def inspection_of(copy: WorkingCopy, path: Path, asked_from: int = 0) -> Inspection:
    """What a check of a sealed copy is asked for, with the figures that the copy itself has."""
    copy.reopen()
    rows, texts, dimensions = copy.count, copy.text_count, _dimensions(copy)
    copy.close()
    return Inspection(
        collection="lines",
        directory=str(copy.directory),
        private_directory=str(path / "private"),
        rows=rows,
        texts=texts,
        dimensions=dimensions,
        asked_from=asked_from,
    )


def _dimensions(copy: WorkingCopy) -> int:
    return np.load(copy.directory / VECTORS_NAME, mmap_mode="r").shape[1]


def publish(path: Path, root: Path, *receipts: FilledReceipt, version: str = "000000000001-owner-000001") -> Pointer:
    """Publish receipts on a directory."""
    copy = filled_copy(path / "work", *receipts)
    try:
        rows, texts = copy.count, copy.text_count
        copy.seal(lambda: None)
        digest = copy_version(copy.directory, root, "lines", version, dict)
    finally:
        copy.discard()
    pointer = Pointer(
        version=version,
        fence=1,
        count=rows,
        texts=texts,
        layout=LAYOUT,
        model="m",
        dimensions=receipts[0][3].shape[1],
        digest=digest,
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    write_current(root, "lines", pointer)
    return pointer


def chroma_client(directory: Path) -> Any:
    """A client of Chroma's own over a directory. Its declared type, ``ClientAPI``, has no ``close``; it has one."""
    settings = chromadb.Settings(anonymized_telemetry=False)
    return chromadb.PersistentClient(path=str(directory), settings=settings)


def database_of(copy: WorkingCopy) -> CollectionDatabase:
    """The open database of a copy, for a change that no method of the copy makes."""
    return copy._opened


def execute_behind(database: CollectionDatabase, statement: str, *parameters: object) -> Any:
    """Execute a statement on a database's own connection, as no release would.

    Returns:
        The first column of the first row, if there is one.
    """
    found = database._connection.execute(statement, parameters).fetchone()
    return found and found[0]
