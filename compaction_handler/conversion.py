"""A working copy from a version of layout 1, in which Chroma had one record a row. Used once for each collection.

The vectors are those that Chroma gives back, which its cosine space has scaled to length 1; the exact ones are in the
deltas, and ``receipts rebuild --from-deltas`` goes back to them.
"""

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.chroma import OldRecord, records_of_layout_1
from pipeline.collections.ledger import RECORDED, RunOutcome, decode_state
from pipeline.collections.private import PrivateDirectory
from pipeline.collections.receipts import Operation, ReceiptKey, ReceiptState
from pipeline.collections.rows import NewRow, RowName, parse_identifier
from pipeline.collections.versions import copy_verified
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.metadata import Metadata
from pipeline.contracts.run import Order

logger = logging.getLogger(__name__)

LEDGER_NAME = "ledger.sqlite3"


def convert(collection: CollectionName, directory: Path, *, parent: Path, dimensions: int, base: str) -> WorkingCopy:
    """A working copy with the rows, texts and ledger of a version of layout 1.

    Args:
        collection: its name.
        directory: of the version, which is verified and left as it is.
        parent: the directory on local disk for the copy.
        dimensions: numbers a vector.
        base: the version's name.

    Raises:
        PermanentError: SNAPSHOT_CORRUPT when a file is not what was published.
    """
    private = PrivateDirectory.create(parent, f"{collection}-layout-1")
    try:
        copy_verified(directory, private.path)
        texts: dict[str, int] = {}
        vectors: list[np.ndarray] = []
        receipts: dict[ReceiptKey, list[tuple[RowName, str, Metadata]]] = {}
        lost: list[OldRecord] = []
        for record in records_of_layout_1(collection, private.path):
            name = parse_identifier(record.id)
            if name is None or name.identifier != record.id:
                logger.error("a row of no receipt is left out", extra={"collection": collection, "id": record.id})
                continue
            if record.text not in texts:
                if record.vector is None:
                    lost.append(record)
                    continue
                texts[record.text] = len(vectors)
                vectors.append(record.vector)
            receipts.setdefault(name.receipt, []).append((name, record.text, record.metadata))
        for record in lost:
            # Another row of the same text may have had a vector.
            name = parse_identifier(record.id)
            if record.text in texts and name is not None:
                receipts.setdefault(name.receipt, []).append((name, record.text, record.metadata))
            else:
                logger.error(
                    "a row without a vector is left out; `receipts reconcile --repair` brings it back",
                    extra={"collection": collection, "id": record.id},
                )
        states, outcomes = _ledger(private.path / LEDGER_NAME, receipts)
        copy = WorkingCopy(collection, parent=parent, dimensions=dimensions, source=None, base=base)
        try:
            copy.fill(_receipts(receipts, texts, vectors), states, outcomes)
        except BaseException:
            copy.discard()
            raise
    finally:
        private.remove()
    logger.info("converted from layout 1", extra={"collection": collection, "version": base, "rows": copy.count})
    return copy


def _receipts(
    receipts: dict[ReceiptKey, list[tuple[RowName, str, Metadata]]], texts: dict[str, int], vectors: list[np.ndarray]
) -> Iterator[tuple[ReceiptKey, list[str], list[NewRow], np.ndarray]]:
    for key, rows in receipts.items():
        own = list(dict.fromkeys(text for _, text, _ in rows))
        number = {text: position for position, text in enumerate(own)}
        yield (
            key,
            own,
            [NewRow(name=name, text=number[text], metadata=metadata) for name, text, metadata in rows],
            np.array([vectors[texts[text]] for text in own]),
        )


def _ledger(
    path: Path, receipts: dict[ReceiptKey, list[tuple[RowName, str, Metadata]]]
) -> tuple[dict[ReceiptKey, ReceiptState], dict[str, RunOutcome]]:
    """The ledger of layout 1; made from the rows where a version is from before there were ledgers."""
    if not path.exists():
        runs = {
            key: Counter(str(metadata.get("run_id", "")) for *_, metadata in rows) for key, rows in receipts.items()
        }
        counts: Counter[str] = sum(runs.values(), Counter())
        # Their operations count as older than any that is recorded.
        states = {key: ReceiptState(decided_by=_unrecorded(max(found))) for key, found in runs.items()}
        return states, {run_id: RunOutcome(rows=count) for run_id, count in counts.items()}
    with closing(sqlite3.connect(path)) as connection:
        states = {
            ReceiptKey(image_id, receipt_id): decode_state(operations)
            for image_id, receipt_id, operations in connection.execute(
                "SELECT image_id, receipt_id, operations FROM receipts WHERE image_id <> ''"
            )
        }
        outcomes = {
            run_id: RunOutcome(rows=rows, superseded_by=superseded_by)
            for run_id, rows, superseded_by in connection.execute("SELECT run_id, rows, superseded_by FROM runs")
        }
    return states, outcomes


def _unrecorded(run_id: str) -> Operation:
    return Operation(order=Order("", RECORDED, 0, run_id), kind="upsert", delta_run_id=run_id)
