"""What a merge reads before it writes: the deltas of runs, each verified against its run, and what the ledger holds.

Nothing is written here.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from compaction_handler.environment import MergeEnvironment
from compaction_handler.failures import broken_merge
from compaction_handler.restoring import require_compatible
from pipeline.collections.ledger import RECORDED, Ledger, LedgerEntry
from pipeline.collections.receipts import ReceiptKey, receipt_of
from pipeline.collections.rows import parse_identifier
from pipeline.contracts.delta import Delta
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun
from pipeline.deltas import read_delta
from pipeline.errors import ErrorCode, PermanentError, PipelineError
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository

READS_AT_ONCE = 8
"""Below the ten connections of a boto3 client."""


@dataclass(frozen=True, kw_only=True)
class DeltaReader:
    """Reads the deltas of one collection."""

    collection: CollectionName
    environment: MergeEnvironment
    objects: ObjectStore

    def answers(self, runs: Iterable[CompactionRun]) -> list[Delta | PipelineError]:
        """The delta of each run, or why there is none."""
        with ThreadPoolExecutor(READS_AT_ONCE) as readers:
            return list(readers.map(self._answer, runs))

    def read_all(self, runs: Iterable[CompactionRun]) -> dict[str, Delta]:
        """The deltas by run id.

        Raises:
            PermanentError: OBJECT_MISSING, OBJECT_CHANGED, DELTA_INVALID, DELTA_INCOMPATIBLE, VERSION_UNSUPPORTED.
            RetryableError: SERVICE_UNAVAILABLE.
        """
        known = list(runs)
        with ThreadPoolExecutor(READS_AT_ONCE) as readers:
            return dict(zip([run.run_id for run in known], readers.map(self._read, known), strict=True))

    def _answer(self, run: CompactionRun) -> Delta | PipelineError:
        try:
            return self._read(run)
        except PipelineError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever reading it raises, it is this run's and no neighbour's
            return broken_merge(error, self.collection, Path(self.environment.working_directory))

    def _read(self, run: CompactionRun) -> Delta:
        progress = run.progress(self.collection)
        written_for = run.delta_run_id or run.run_id
        delta = read_delta(self.objects, run.delta_bucket, self.collection, written_for, progress.delta_sha256 or "")
        require_compatible(self.environment, delta.model, delta.dimensions, f"delta of run {run.run_id}")
        strange = next((row.id for row in delta.rows if not _is_row_of(run, row.id)), None)
        if len(delta.rows) != progress.expected_count or strange is not None:
            raise PermanentError(
                ErrorCode.DELTA_INVALID,
                value=f"the delta of run {written_for} has {len(delta.rows)} rows"
                + (f", one of them {strange}" if strange else ""),
                rule=f"the run expects {progress.expected_count}, all of its own receipt",
                way_out="the run stays FAILED with this reason; upload the receipt's OCR result to embed it again",
            )
        return delta


def dated_entries(ledger: Ledger, runs: RunRepository, keys: Iterable[ReceiptKey]) -> dict[ReceiptKey, LedgerEntry]:
    """What the ledger holds of some receipts.

    An earlier release's ledger did not keep when an operation happened; this is then read from its run.

    Raises:
        RetryableError: SERVICE_UNAVAILABLE.
    """
    entries = ledger.entries(keys)
    undated = {
        operation.run_id: key
        for key, entry in entries.items()
        for operation in entry.state.operations
        if operation.order.sequencer == RECORDED
    }
    if not undated:
        return entries
    found = runs.find_all(
        RunReference(image_id=UUID(key.image_id), receipt_id=key.receipt_id, run_id=run_id)
        for run_id, key in undated.items()
    )
    orders = {run.run_id: run.order for run in found}
    return {key: replace(entry, state=entry.state.with_orders(orders)) for key, entry in entries.items()}


def _is_row_of(run: CompactionRun, identifier: str) -> bool:
    name = parse_identifier(identifier)
    # The very spelling: a leading zero more would be another id of the same row.
    return name is not None and name.receipt == receipt_of(run) and name.identifier == identifier
