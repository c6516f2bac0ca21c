"""The ledger of a collection: which runs it holds, and what it must remember of every receipt. Travels in the version.

A small SQLite file beside Chroma's own, under the same manifest: a version and its ledger cannot be of different
moments. It is as disposable as the working copy it belongs to, so it is written without waiting for the disk.
"""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import UUID

from pipeline.collections.receipts import Operation, Order, ReceiptKey, ReceiptState
from pipeline.contracts.identifiers import receipt_vector_prefix

SCHEMA = """
CREATE TABLE IF NOT EXISTS receipts (
    image_id TEXT NOT NULL, receipt_id INTEGER NOT NULL,
    operations TEXT NOT NULL, identifiers TEXT NOT NULL, rows INTEGER NOT NULL,
    PRIMARY KEY (image_id, receipt_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, rows INTEGER NOT NULL, superseded_by INTEGER
) WITHOUT ROWID;
"""
VARIABLES_AT_ONCE = 500
"""Below SQLite's limit of 999 in old builds (sqlite.org/limits.html)."""
UNKNOWN_RECEIPT = ReceiptKey("", 0)
"""Holds rows whose ids are of no receipt; there are none unless somebody else wrote the collection."""
_VECTOR_ID = re.compile(r"IMAGE#(?P<image>[0-9a-f-]{36})#RECEIPT#(?P<receipt>[0-9]{5,})#")


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What the collection holds of one receipt: the operations that count, and the ids of its rows."""

    state: ReceiptState = field(default_factory=ReceiptState)
    identifiers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a run.

    Attributes:
        rows: written for it and read back.
        superseded_by: the receipt version of the newer operation because of which nothing was written.
    """

    rows: int
    superseded_by: int | None = None


class Ledger:
    """An open ledger.

    Args:
        path: the file.
        read_only: of a published version, which nobody writes to.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        if read_only:
            self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
            return
        self._connection = sqlite3.connect(path)
        self._connection.executescript("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;" + SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, after which it may be copied."""
        self._connection.close()

    @property
    def rows(self) -> int:
        """Rows of all receipts."""
        return self._connection.execute("SELECT COALESCE(SUM(rows), 0) FROM receipts").fetchone()[0]

    def outcomes(self, run_ids: Iterable[str]) -> dict[str, Outcome]:
        """Those of the runs that the collection holds, and what became of them."""
        found = {}
        for part in _parts(list(run_ids)):
            marks = ", ".join("?" * len(part))
            statement = f"SELECT run_id, rows, superseded_by FROM runs WHERE run_id IN ({marks})"  # noqa: S608 - marks
            for run_id, rows, superseded_by in self._connection.execute(statement, part):
                found[run_id] = Outcome(rows=rows, superseded_by=superseded_by)
        return found

    def run_ids(self) -> set[str]:
        """All runs that the collection holds."""
        return {row[0] for row in self._connection.execute("SELECT run_id FROM runs")}

    def holdings(self, keys: Iterable[ReceiptKey]) -> dict[ReceiptKey, Holding]:
        """What is held of the receipts; an empty holding where nothing is known."""
        statement = "SELECT operations, identifiers FROM receipts WHERE image_id = ? AND receipt_id = ?"
        found = {}
        for key in keys:
            row = self._connection.execute(statement, key).fetchone()
            found[key] = Holding() if row is None else _holding(key, *row)
        return found

    def all_holdings(self) -> Iterator[tuple[ReceiptKey, Holding]]:
        """Every receipt and what is held of it."""
        for image_id, receipt_id, *row in self._connection.execute(
            "SELECT image_id, receipt_id, operations, identifiers FROM receipts"
        ):
            key = ReceiptKey(image_id, receipt_id)
            yield key, _holding(key, *row)

    def identifiers(self) -> Iterator[str]:
        """The id of every row."""
        for _, holding in self.all_holdings():
            yield from holding.identifiers

    def write(self, holdings: Mapping[ReceiptKey, Holding], outcomes: Mapping[str, Outcome]) -> None:
        """Remember receipts and runs, all or nothing."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?)",
                [(*key, *_columns(key, holding), len(holding.identifiers)) for key, holding in holdings.items()],
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?)",
                [(run_id, outcome.rows, outcome.superseded_by) for run_id, outcome in outcomes.items()],
            )

    def rebuild(self, rows: Iterable[tuple[str, str]]) -> None:
        """Fill an empty ledger from the rows of a collection that was published before there were ledgers.

        Args:
            rows: id and run id of each. Their operations count as older than any that is recorded.
        """
        identifiers: dict[ReceiptKey, list[str]] = {}
        runs: dict[ReceiptKey, set[str]] = {}
        known = list(rows)
        for identifier, run_id in known:
            key = receipt_of_vector(identifier)
            identifiers.setdefault(key, []).append(identifier)
            runs.setdefault(key, set()).add(run_id)
        counts = Counter(run_id for _, run_id in known)
        self.write(
            {
                key: Holding(
                    state=ReceiptState(decided_by=_unrecorded(max(runs[key]))),
                    identifiers=tuple(sorted(found)),
                )
                for key, found in identifiers.items()
            },
            {run_id: Outcome(rows=count) for run_id, count in counts.items()},
        )


def receipt_of_vector(identifier: str) -> ReceiptKey:
    """The receipt whose row an id names; ``UNKNOWN_RECEIPT`` when it names none."""
    match = _VECTOR_ID.match(identifier)
    return UNKNOWN_RECEIPT if match is None else ReceiptKey(match["image"], int(match["receipt"]))


def _unrecorded(run_id: str) -> Operation:
    return Operation(order=Order(0, "", run_id), kind="upsert", delta_run_id=run_id)


def _prefix(key: ReceiptKey) -> str:
    return "" if key == UNKNOWN_RECEIPT else receipt_vector_prefix(UUID(key.image_id), key.receipt_id)


def _columns(key: ReceiptKey, holding: Holding) -> tuple[str, str]:
    operations = [
        [*operation.order, operation.kind, operation.changes, operation.delta_run_id]
        for operation in holding.state.operations
    ]
    # A third of the bytes: the prefix is that of the receipt.
    suffixes = [identifier.removeprefix(_prefix(key)) for identifier in holding.identifiers]
    return json.dumps(operations, ensure_ascii=False), json.dumps(suffixes)


def _holding(key: ReceiptKey, operations: str, identifiers: str) -> Holding:
    prefix = _prefix(key)
    known = [
        Operation(order=Order(*item[:3]), kind=item[3], changes=item[4], delta_run_id=item[5])
        for item in json.loads(operations)
    ]
    decided_by = known[0] if known and known[0].kind != "metadata" else None
    return Holding(
        state=ReceiptState(decided_by=decided_by, patches=tuple(known if decided_by is None else known[1:])),
        identifiers=tuple(prefix + suffix for suffix in json.loads(identifiers)),
    )


def _parts(items: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), VARIABLES_AT_ONCE):
        yield items[start : start + VARIABLES_AT_ONCE]
