"""A working copy that is built again as a whole, for an operator: from the deltas, or from the current version."""

from collections.abc import Callable
from pathlib import Path

from compaction_handler.environment import MergeEnvironment
from compaction_handler.planning import DELTAS_AT_ONCE, deltas_needed, make_plan, operations_by_receipt
from compaction_handler.reading import DeltaReader, dated_entries
from compaction_handler.restoring import restore
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.layout import Pointer
from pipeline.collections.receipts import ReceiptKey, receipt_of
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository


def copy_from_deltas(
    deltas: DeltaReader, runs: RunRepository, base: str, between_receipts: Callable[[], None]
) -> WorkingCopy:
    """A copy with the rows of every run that was applied, and the vectors exactly as they were embedded.

    Args:
        deltas: reads those of the collection.
        runs: all runs.
        base: the name of the version that the copy will replace.
        between_receipts: called after each receipt; it raises when the lease is gone.

    Raises:
        PermanentError: OBJECT_MISSING, DELTA_INVALID and the like when a delta is gone or damaged.
        RetryableError: MERGE_INCOMPLETE, SERVICE_UNAVAILABLE, LEASE_LOST.
    """
    applied: dict[ReceiptKey, list[CompactionRun]] = {}
    for run in runs.all_runs():
        if run.progress(deltas.collection).state in {RunState.MERGED, RunState.COMPLETED}:
            applied.setdefault(receipt_of(run), []).append(run)
    environment = deltas.environment
    copy = WorkingCopy(
        deltas.collection,
        parent=Path(environment.working_directory),
        dimensions=environment.embedding_dimensions,
        source=None,
        base=base,
    )
    try:
        keys = list(applied)
        for start in range(0, len(keys), DELTAS_AT_ONCE):
            batch = {run.run_id: run for key in keys[start : start + DELTAS_AT_ONCE] for run in applied[key]}
            operations = operations_by_receipt(batch.values())
            entries = dated_entries(copy.ledger, runs, operations)
            read = deltas.read_all(batch[run_id] for run_id in sorted(deltas_needed(entries, operations)))
            rows = {run_id: len(delta.rows) for run_id, delta in read.items()}
            copy.apply(make_plan(entries, operations, rows), read, between_receipts)
    except BaseException:
        copy.discard()
        raise
    return copy


def copy_built_again(
    collection: CollectionName,
    environment: MergeEnvironment,
    objects: ObjectStore,
    current: Pointer,
    between_chunks: Callable[[], None],
) -> WorkingCopy:
    """A copy of the current version whose letters and index were built again.

    Raises:
        PermanentError: as ``restore``.
        RetryableError: SERVICE_UNAVAILABLE, LEASE_LOST.
    """
    _, copy = restore(collection, environment, objects, current)
    try:
        copy.rebuild(copy.parameters, between_chunks)
        copy.reopen()
    except BaseException:
        copy.discard()
        raise
    return copy
