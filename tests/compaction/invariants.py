"""What must hold of a collection whatever happened: it is the plain dictionary, and everything says the same of it."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pipeline.collections.database import CollectionDatabase
from pipeline.collections.rows import parse_identifier
from tests.compaction.strategies import Change

Model = dict[str, dict[str, Any]]
"""Id to the metadata of the row."""


def row_name(receipt: int, row: int) -> str:
    return f"{receipt}/{row}"


def model_of(changes: Iterable[tuple[Change, str]]) -> Model:
    """The rows after the changes, one after the other, each with the name of its run."""
    receipts: dict[int, Model] = {}
    for change, run in changes:
        if change.kind == "upsert":
            receipts[change.receipt] = {row_name(change.receipt, row): {"run_id": run} for row in range(change.rows)}
        elif change.kind == "delete":
            receipts[change.receipt] = {}
        else:
            receipts[change.receipt] = {
                name: {**metadata, **dict(change.fields)} for name, metadata in receipts.get(change.receipt, {}).items()
            }
    return {name: metadata for rows in receipts.values() for name, metadata in rows.items()}


def require_the_model(found: Model, count: int, expected: Model) -> None:
    """The rows are the dictionary's, and as many as the pointer says."""
    assert found == expected
    assert count == len(expected)


def require_the_ledger(database: CollectionDatabase, expected: Model, runs: set[str]) -> None:
    """The ledger counts the same rows for each receipt, knows every run that arrived, and the tables agree."""
    counts = Counter(name.receipt for name in map(parse_identifier, expected) if name is not None)
    held = {key: entry.rows for key, entry in database.ledger.all_entries() if entry.rows}
    assert held == dict(counts)
    assert runs <= database.ledger.run_ids()
    assert list(database.rows.faults()) == []
