"""What a merge does: from runs and the ledger to batches, rows to write, rows to remove, fields to change. Pure.

Operations are folded before anything is written: a delete followed by an insert in one batch is the insert.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.collections.layout import Pointer
from pipeline.collections.ledger import LedgerEntry, RunOutcome
from pipeline.collections.receipts import Operation, ReceiptKey, ReceiptState, fold, operation_of, receipt_of
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.metadata import Metadata
from pipeline.contracts.run import CompactionRun

DELTAS_AT_ONCE = 300
"""More at once are hardly faster: what a batch costs for itself is one SQLite transaction."""
ROWS_AT_ONCE = 25_000
"""Bounds the memory of a batch, whatever the receipts: 154 MB of vectors at 1,536 dimensions."""
SUSPECTS_AT_ONCE = {1: 40, 2: 5}
"""Failed attempts to how many such runs are merged at once, else one: a culprit among 300 is alone at its fourth."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one batch writes.

    Attributes:
        upserts: receipt to the run whose rows it gets instead of its own; all of the run's delta.
        removals: receipts whose rows go; none of them is in ``upserts``.
        changes: metadata fields that go on top of the rows of a receipt, after the upserts.
        states: what the ledger says of the receipts afterwards.
        outcomes: what the ledger says of the runs afterwards.
    """

    upserts: Mapping[ReceiptKey, Operation]
    removals: Sequence[ReceiptKey]
    changes: Mapping[ReceiptKey, Metadata]
    states: Mapping[ReceiptKey, ReceiptState]
    outcomes: Mapping[str, RunOutcome]


def batches(runs: Iterable[CompactionRun], collection: CollectionName) -> Iterator[list[CompactionRun]]:
    """Runs in the portions in which they are merged.

    Those that were in a merge that broke go last, in smaller and smaller portions: in the end the run that is to
    blame is alone.
    """
    suspects: dict[int, list[CompactionRun]] = {}
    batch: list[CompactionRun] = []
    rows = 0
    for run in runs:
        progress = run.progress(collection)
        if progress.attempts:
            suspects.setdefault(progress.attempts, []).append(run)
            continue
        if batch and (len(batch) == DELTAS_AT_ONCE or rows + progress.expected_count > ROWS_AT_ONCE):
            yield batch
            batch, rows = [], 0
        batch.append(run)
        rows += progress.expected_count
    if batch:
        yield batch
    for attempts, suspected in sorted(suspects.items()):
        size = SUSPECTS_AT_ONCE.get(attempts, 1)
        yield from (suspected[start : start + size] for start in range(0, len(suspected), size))


def operations_by_receipt(runs: Iterable[CompactionRun]) -> dict[ReceiptKey, list[Operation]]:
    """The operations that runs recorded."""
    operations: dict[ReceiptKey, list[Operation]] = {}
    for run in runs:
        operations.setdefault(receipt_of(run), []).append(operation_of(run))
    return operations


def deltas_needed(
    entries: Mapping[ReceiptKey, LedgerEntry], operations: Mapping[ReceiptKey, Sequence[Operation]]
) -> set[str]:
    """The runs whose delta decides a receipt; a superseded upsert is never read."""
    needed = set()
    for key, arrived in operations.items():
        before, after = entries[key].state, fold(entries[key].state, arrived)
        if _replaces(before, after) and after.decided_by is not None and after.decided_by.kind == "upsert":
            needed.add(after.decided_by.run_id)
    return needed


def make_plan(
    entries: Mapping[ReceiptKey, LedgerEntry],
    operations: Mapping[ReceiptKey, Sequence[Operation]],
    delta_rows: Mapping[str, int],
) -> Plan:
    """Fold the operations of a batch and say what is to be written.

    Args:
        entries: what the ledger says of every receipt in ``operations``.
        operations: what arrived, by receipt.
        delta_rows: run to the number of rows of its delta, for every run in ``deltas_needed``.
    """
    upserts: dict[ReceiptKey, Operation] = {}
    removals: list[ReceiptKey] = []
    changes: dict[ReceiptKey, Metadata] = {}
    states: dict[ReceiptKey, ReceiptState] = {}
    outcomes: dict[str, RunOutcome] = {}
    for key, arrived in operations.items():
        held = entries[key]
        after = fold(held.state, arrived)
        rows = held.rows
        if _replaces(held.state, after) and after.decided_by is not None:
            rows = delta_rows.get(after.decided_by.run_id, 0)
            if after.decided_by.kind == "upsert":
                upserts[key] = after.decided_by
                changes[key] = after.changes
            else:
                removals.append(key)
        elif after.patches != held.state.patches:
            changes[key] = after.changes
        states[key] = after
        outcomes |= {operation.run_id: _outcome(operation, after, rows) for operation in arrived}
    return Plan(upserts=upserts, removals=removals, changes=changes, states=states, outcomes=outcomes)


def is_publication_due(pointer: Pointer | None, now: datetime, every: timedelta) -> bool:
    """Whether what waits is published now.

    Args:
        pointer: the current version's; None when nothing was ever published.
        now: the time.
        every: a collection is published at most once in this time, which is also what a kill costs at most.
    """
    return pointer is None or now - pointer.published_at >= every


def _replaces(before: ReceiptState, after: ReceiptState) -> bool:
    """Whether rows are written or removed: another operation decides, and it is not the same said again later."""
    old, new = before.decided_by, after.decided_by
    if new is None or old is None:
        return new is not None
    is_same_again = (
        (old.kind, old.delta_run_id, old.changes) == (new.kind, new.delta_run_id, new.changes)
        # A repair repeats something of the same moment because its rows are not there.
        and old.order.happened_at < new.order.happened_at
        and not before.patches
    )
    return old.order != new.order and not is_same_again


def _outcome(operation: Operation, after: ReceiptState, rows: int) -> RunOutcome:
    if after.decided_by is not None and after.supersedes(operation):
        return RunOutcome(rows=0, superseded_by=after.decided_by.order.receipt_version)
    return RunOutcome(rows=0 if operation.kind == "delete" else rows)
