"""The ledger of a collection, tables of its SQLite file: which runs it holds, which operations decided each receipt.

It travels in the version, so a version and its ledger cannot be of different moments.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.collections.receipts import Operation, ReceiptKey, ReceiptState
from pipeline.contracts.run import Order, event_order

RECORDED = "recorded"
"""Instead of a sequencer: the moment is when the operation was recorded, a little after it happened."""
VARIABLES_AT_ONCE = 500
"""Below SQLite's limit of 999 in old builds (sqlite.org/limits.html)."""


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """What the collection holds of one receipt: the operations that count, and how many rows they left."""

    state: ReceiptState = field(default_factory=ReceiptState)
    rows: int = 0


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What became of a run.

    Attributes:
        rows: written for it and read back.
        superseded_by: the receipt version of the newer operation because of which nothing was written.
    """

    rows: int
    superseded_by: int | None = None


class Ledger:
    """The ledger of an open file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def outcomes(self, run_ids: Iterable[str]) -> dict[str, RunOutcome]:
        """Those of the runs that the collection holds, and what became of them."""
        found = {}
        known = list(run_ids)
        for start in range(0, len(known), VARIABLES_AT_ONCE):
            part = known[start : start + VARIABLES_AT_ONCE]
            marks = ", ".join("?" * len(part))
            statement = f"SELECT run_id, rows, superseded_by FROM runs WHERE run_id IN ({marks})"  # noqa: S608 - marks
            for run_id, rows, superseded_by in self._connection.execute(statement, part):
                found[run_id] = RunOutcome(rows=rows, superseded_by=superseded_by)
        return found

    def run_ids(self) -> set[str]:
        """All runs that the collection holds."""
        return {row[0] for row in self._connection.execute("SELECT run_id FROM runs")}

    def entries(self, keys: Iterable[ReceiptKey]) -> dict[ReceiptKey, LedgerEntry]:
        """What is held of the receipts; an empty entry where nothing is known."""
        statement = "SELECT operations, rows FROM receipts WHERE image_id = ? AND receipt_id = ?"
        found = {}
        for key in keys:
            row = self._connection.execute(statement, key).fetchone()
            found[key] = LedgerEntry() if row is None else LedgerEntry(state=decode_state(row[0]), rows=row[1])
        return found

    def all_entries(self) -> Iterator[tuple[ReceiptKey, LedgerEntry]]:
        """Every receipt and what is held of it."""
        for image_id, receipt_id, operations, rows in self._connection.execute(
            "SELECT image_id, receipt_id, operations, rows FROM receipts"
        ):
            yield ReceiptKey(image_id, receipt_id), LedgerEntry(state=decode_state(operations), rows=rows)

    def write(self, states: Mapping[ReceiptKey, ReceiptState], outcomes: Mapping[str, RunOutcome]) -> None:
        """Remember receipts and runs; inside a transaction."""
        self._connection.executemany(
            "INSERT INTO receipts (image_id, receipt_id, operations) VALUES (?, ?, ?) "
            "ON CONFLICT (image_id, receipt_id) DO UPDATE SET operations = excluded.operations",
            [(*key, encode_state(state)) for key, state in states.items()],
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?)",
            [(run_id, outcome.rows, outcome.superseded_by) for run_id, outcome in outcomes.items()],
        )


def encode_state(state: ReceiptState) -> str:
    """The operations that count, as JSON."""
    operations = [
        [*operation.order, operation.kind, operation.changes, operation.delta_run_id] for operation in state.operations
    ]
    return json.dumps(operations, ensure_ascii=False)


def decode_state(operations: str) -> ReceiptState:
    """What ``encode_state`` wrote, and what layout 1 wrote."""
    known = [
        Operation(order=_order(*item[:-3]), kind=item[-3], changes=item[-2], delta_run_id=item[-1])
        for item in json.loads(operations)
    ]
    decided_by = known[0] if known and known[0].kind != "metadata" else None
    return ReceiptState(decided_by=decided_by, patches=tuple(known if decided_by is None else known[1:]))


def _order(*fields: str | int) -> Order:
    """An order; ledgers of an earlier release kept version, time of recording and run, and not when it happened.

    The time of recording is used instead, marked (``RECORDED``), until the run itself is read.
    """
    if len(fields) == len(Order._fields):
        happened_at, sequencer, version, run_id = fields
        return Order(str(happened_at), str(sequencer), int(version), str(run_id))
    version, recorded_at, run_id = fields
    moment = event_order(datetime.fromisoformat(str(recorded_at)), None)[0] if recorded_at else ""
    return Order(moment, RECORDED, int(version), str(run_id))
