"""Merging the runs of one collection and publishing versions, under the collection's lease.

A kill between any two steps loses nothing: a run is MERGED only when the working copy holds it, COMPLETED only when a
published version does, and what is not is merged again into the next copy. Where a cold copy comes from is said in
``restoring.py``, what is written in ``planning.py``, how it becomes a version in ``publishing.py``.
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from compaction_handler.checking import ChildCheck
from compaction_handler.environment import MergeEnvironment
from compaction_handler.lease import Heartbeat, Lease, acquire, current_pointer
from compaction_handler.planning import DELTAS_AT_ONCE, batches, deltas_needed, is_publication_due, make_plan
from compaction_handler.publishing import Check, Publisher, storage_error
from compaction_handler.restoring import require_compatible, restore
from compaction_handler.working_copy import WorkingCopy
from pipeline.aws import AwsClient
from pipeline.collections.layout import LAYOUT, Pointer
from pipeline.collections.ledger import RECORDED, LedgerEntry, RunOutcome
from pipeline.collections.receipts import Operation, ReceiptKey, operation_of, receipt_of
from pipeline.collections.rows import parse_identifier
from pipeline.contracts.delta import Delta
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.deltas import read_delta
from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError
from pipeline.objects import ObjectStore
from pipeline.runs import RunRepository

logger = logging.getLogger(__name__)

MAXIMUM_ATTEMPTS = 5
"""Failed merges of one run before it is quarantined as FAILED (docs/contracts.md)."""
SWEEP_AGE = timedelta(minutes=5)
"""A run that is PENDING for longer has lost its message; the tick merges it."""
SWEEP_RUNS = 2_000
"""Runs of each state that one tick drives again; the next tick takes the rest."""
CALLS_AT_ONCE = 8
"""Calls to S3 or DynamoDB at once; below the ten connections of a boto3 client."""
FREE_BYTES = 64 * 1024 * 1024
"""With less than this left on the local disk, whatever broke is blamed on the disk."""
PUBLISHED_WHILE_MORE_WAITS = timedelta(seconds=15)
"""Without a publication interval: at most so long a published run waits for the messages behind it."""
COPY_LOST = frozenset(
    {
        ErrorCode.LEASE_LOST,
        ErrorCode.MERGE_INCOMPLETE,
        ErrorCode.SNAPSHOT_UNSOUND,
        # A file of the published version has changed: who starts cold finds that out and restores.
        ErrorCode.OBJECT_UPLOAD_UNVERIFIED,
    }
)
"""After these nobody builds on the working copy or publishes it; after other errors of the pipeline it is sound."""


@dataclass
class CollectionMerger:
    """Merges one collection; lives as long as its process and keeps the working copy warm between calls.

    Attributes:
        collection: its name.
        start_check: starts the process that checks a copy before it is published.
        unpublished: runs that the working copy holds and no published version does.
    """

    collection: CollectionName
    environment: MergeEnvironment
    objects: ObjectStore
    runs: RunRepository
    dynamodb: AwsClient
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    start_check: Callable[[], Check] = ChildCheck
    unpublished: dict[str, CompactionRun] = field(default_factory=dict)
    _copy: WorkingCopy | None = None
    _publisher: Publisher = field(init=False)
    _is_blamed: bool = False
    _more_waits: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self._publisher = Publisher(
            collection=self.collection,
            environment=self.environment,
            objects=self.objects,
            now=self.now,
            start_check=self.start_check,
        )

    def merge(
        self,
        references: Iterable[RunReference],
        has_time: Callable[[], bool] = lambda: True,
        more_waits: Callable[[], bool] = lambda: False,
    ) -> set[str]:
        """Merge what ``references`` name and publish if it is due.

        Args:
            references: the runs.
            has_time: asked before every batch; False ends the merge in good order.
            more_waits: whether further messages wait; a collection without a publication interval is then published
                a little later, with what they bring.

        Returns:
            The ids of the runs that were not reached in time; deliver them again.

        Raises:
            RetryableError: LEASE_HELD, LEASE_LOST, MERGE_INCOMPLETE, MERGE_BROKEN, SNAPSHOT_UNSOUND, STORAGE_FULL,
                SERVICE_UNAVAILABLE: deliver the message again.
            PermanentError: SNAPSHOT_MISSING and its like: the collection needs an operator.
        """
        wanted = {reference.run_id: reference for reference in references}
        self._more_waits = more_waits
        with self._leased() as (lease, heartbeat):
            self._blame(lease)
            copy, replayed = self._working_copy(lease)
            wanted |= {reference.run_id: reference for reference in replayed}
            runs = self._settle_known(copy, self.runs.find_all(wanted.values()), wanted)
            left: set[str] = set()
            failure: RetryableError | None = None
            for batch in batches(runs, self.collection):
                if not has_time():
                    left |= {run.run_id for run in batch}
                    continue
                is_suspect = any(run.progress(self.collection).attempts for run in batch)
                if is_suspect:
                    # What waits is published without the suspects, and each portion of them alone.
                    self._publish_if_due(lease, heartbeat, copy, [], at_once=True)
                merged, failed = self._merge_batch(heartbeat, copy, batch)
                # Its neighbours go on; the message comes back for the one that failed.
                failure = failed or failure
                self._publish_if_due(lease, heartbeat, copy, merged, at_once=is_suspect)
            self._publish_if_due(lease, heartbeat, copy, [])
            if failure is not None:
                raise failure
            return left

    def tick(self, has_time: Callable[[], bool] = lambda: True) -> None:
        """Merge runs whose message was lost, replay what is only MERGED, publish what waits. Nothing to do is usual.

        A version of an older layout is converted, because readers of this release refuse it.
        """
        old = self.now() - SWEEP_AGE
        pending = (run.reference for run in self._in_state(RunState.PENDING) if run.created_at < old)
        swept = list(islice(pending, SWEEP_RUNS))
        waiting = [run.reference for run in islice(self._in_state(RunState.MERGED), SWEEP_RUNS)]
        pointer = current_pointer(self.environment.table_name, self.dynamodb, self.collection)
        is_old = _is_old(pointer)
        if swept or waiting or is_old:
            logger.info("tick", extra={"collection": self.collection, "swept": len(swept), "merged": len(waiting)})
            self.merge(swept + waiting, has_time)

    def rebuild(self, *, from_deltas: bool) -> Pointer:
        """Build the collection again, under its lease, and publish it; the next merge starts cold on it.

        Args:
            from_deltas: from the deltas of every run that was applied, with the vectors exactly as they were embedded;
                else from the current version, whose letters and index are built again.

        Returns:
            What is published then.

        Raises:
            PermanentError: OBJECT_MISSING, DELTA_INVALID and the like when a delta is gone or damaged: nothing is
                published. SNAPSHOT_MISSING when nothing was ever published.
            RetryableError: as ``merge``.
        """
        with self._leased() as (lease, heartbeat):
            self._blame(lease)
            self._discard()
            current = lease.current()
            if current is None:
                raise PermanentError(
                    ErrorCode.SNAPSHOT_MISSING,
                    value=f"nothing was ever published of {self.collection}",
                    rule="a collection that is rebuilt has a published version",
                    way_out="upload receipts; their first merge publishes it",
                )
            self._publisher.prepare()
            if from_deltas:
                self._copy = copy = WorkingCopy(
                    self.collection,
                    parent=Path(self.environment.working_directory),
                    dimensions=self.environment.embedding_dimensions,
                    source=None,
                    base=current.version,
                )
                self._replay(heartbeat, copy)
            else:
                _, self._copy = restore(self.collection, self.environment, self.objects, current)
                copy = self._copy
                copy.rebuild(copy.parameters, heartbeat.require)
                copy.reopen()
            copy.revision += 1
            try:
                pointer = self._publisher.publish(lease, heartbeat, copy)
            finally:
                copy.reopen()
            self._publisher.follow(pointer)
            # What was only MERGED in the copy before is merged again by a cold start.
            self._discard()
            return pointer

    def _replay(self, heartbeat: Heartbeat, copy: WorkingCopy) -> None:
        """Fill an empty copy from the deltas of all runs that were applied here."""
        runs: dict[ReceiptKey, list[CompactionRun]] = {}
        for run in self.runs.all_runs():
            if run.progress(self.collection).state in {RunState.MERGED, RunState.COMPLETED}:
                runs.setdefault(receipt_of(run), []).append(run)
        keys = list(runs)
        for start in range(0, len(keys), DELTAS_AT_ONCE):
            batch = {run.run_id: run for key in keys[start : start + DELTAS_AT_ONCE] for run in runs[key]}
            operations = _by_receipt(batch.values())
            entries = self._dated(copy.ledger.entries(operations))
            needed = sorted(deltas_needed(entries, operations))
            with ThreadPoolExecutor(CALLS_AT_ONCE) as readers:
                deltas = dict(zip(needed, readers.map(self._read_delta, [batch[name] for name in needed]), strict=True))
            counts = {run_id: len(delta.rows) for run_id, delta in deltas.items()}
            copy.apply(make_plan(entries, operations, counts), deltas, heartbeat.require)

    def close(self) -> None:
        """Give up the working copy and the check that waits; the next merge starts cold."""
        self._publisher.abandon()
        self._discard()

    @contextmanager
    def _leased(self) -> Iterator[tuple[Lease, Heartbeat]]:
        lease = acquire(self.environment.table_name, self.dynamodb, self.collection, self.environment.lease_seconds)
        self._is_blamed = False
        try:
            if self._copy is not None and self._copy.stamp != lease.copy_before:
                # At once: whatever breaks from here on, this copy is never named as the one that wrote last.
                self._discard()
            with Heartbeat(lease) as heartbeat:
                yield lease, heartbeat
        except RetryableError as error:
            if error.code in COPY_LOST:
                self._discard()
            # Lost or not: it is conditional, and who ended with a word leaves no suspects behind.
            self._release(lease)
            raise
        except Exception as error:
            # A Chroma directory that was open while something unknown broke is not trusted again.
            self._discard()
            self._release(lease)
            if isinstance(error, PipelineError):
                raise
            raise self._broken(error) from error
        except BaseException:
            self._discard()
            self._release(lease)
            raise
        else:
            lease.release(self._stamp())

    def _release(self, lease: Lease) -> None:
        try:
            lease.release(self._stamp(), keep_suspects=not self._is_blamed)
        except RetryableError as error:
            # It expires by itself; what broke before is what the caller must hear of.
            logger.warning("the lease was not released", extra={"error_code": error.code})

    def _stamp(self) -> str:
        return self._copy.stamp if self._copy is not None else ""

    def _broken(self, error: Exception) -> RetryableError:
        place = Path(self.environment.working_directory)
        if isinstance(error, OSError):
            return storage_error(error, str(place))
        if place.is_dir() and shutil.disk_usage(place).free < FREE_BYTES:
            return RetryableError(
                ErrorCode.STORAGE_FULL,
                value=f"{place} is full: {error}",
                rule="the working copy of a collection fits on the local disk",
                way_out="raise receipts:merge.ephemeralStorageMb",
            )
        return RetryableError(
            ErrorCode.MERGE_BROKEN,
            value=f"{self.collection}: {type(error).__name__}: {error}",
            rule="a merge ends with a sound working copy",
            way_out="the working copy is discarded and the runs are merged again, each alone if it was there before",
        )

    def _working_copy(self, lease: Lease) -> tuple[WorkingCopy, list[RunReference]]:
        """The warm copy, or a restored one and everything that is only MERGED, to be merged again."""
        if self._copy is not None:
            if self._publisher.behind is not None:
                self._publisher.follow(self._publisher.behind)
            return self._copy, []
        self._publisher.behind = None
        self._publisher.prepare()
        pointer = lease.current()
        base, self._copy = restore(self.collection, self.environment, self.objects, pointer)
        if base is not None and base == pointer:
            # Whoever moved the pointer may have been killed before S3 had the version.
            self._publisher.follow(base)
        return self._copy, [run.reference for run in self._in_state(RunState.MERGED)]

    def _settle_known(
        self, copy: WorkingCopy, runs: list[CompactionRun], wanted: dict[str, RunReference]
    ) -> list[CompactionRun]:
        """The runs that are to be merged; those that the copy holds are moved to the state that they have reached."""
        for unknown in wanted.keys() - {run.run_id for run in runs}:
            logger.error("a message names a run that does not exist", extra={"run_id": unknown})
        unfinished = [
            run for run in runs if run.progress(self.collection).state not in {RunState.COMPLETED, RunState.FAILED}
        ]
        outcomes = copy.ledger.outcomes(run.run_id for run in unfinished)
        held = self._mark_merged([run for run in unfinished if run.run_id in outcomes], outcomes)
        self._mark_completed([run for run in held if run.run_id not in self.unpublished], copy.base)
        return [run for run in unfinished if run.run_id not in outcomes]

    def _merge_batch(
        self, heartbeat: Heartbeat, copy: WorkingCopy, batch: list[CompactionRun]
    ) -> tuple[list[CompactionRun], RetryableError | None]:
        """Bring runs into the working copy; a bad delta fails its own run.

        Returns:
            Those that the copy holds, not yet marked, and the last error of a run that must be tried again.
        """
        if self._is_due(heartbeat.lease.current(), copy):
            self._publisher.prepare(copy)
        with self._answerable(batch, heartbeat.lease):
            return self._write(heartbeat, copy, batch)

    def _write(
        self, heartbeat: Heartbeat, copy: WorkingCopy, batch: list[CompactionRun]
    ) -> tuple[list[CompactionRun], RetryableError | None]:
        runs = {run.run_id: run for run in batch}
        entries = self._dated(copy.ledger.entries({receipt_of(run): None for run in batch}))
        deltas: dict[str, Delta] = {}
        failure: RetryableError | None = None
        while needed := deltas_needed(entries, _by_receipt(runs.values())) - deltas.keys():
            with ThreadPoolExecutor(CALLS_AT_ONCE) as readers:
                answers = list(readers.map(self._delta, [runs[run_id] for run_id in sorted(needed)]))
            for run_id, answer in zip(sorted(needed), answers, strict=True):
                if isinstance(answer, Delta):
                    deltas[run_id] = answer
                    continue
                # Without this operation another one may decide the receipt: hence the loop.
                failure = self._record_failure(runs.pop(run_id), answer) or failure
        operations = _by_receipt(runs.values())
        plan = make_plan(
            {key: entries[key] for key in operations},
            operations,
            {run_id: len(delta.rows) for run_id, delta in deltas.items()},
        )
        copy.apply(plan, deltas, heartbeat.require)
        # At once: a run that the ledger knows and this does not is taken for published.
        self.unpublished |= runs
        return list(runs.values()), failure

    def _dated(self, entries: dict[ReceiptKey, LedgerEntry]) -> dict[ReceiptKey, LedgerEntry]:
        """Add to what an earlier release's ledger holds when it happened, which only the runs say."""
        undated = {
            operation.run_id: key
            for key, entry in entries.items()
            for operation in entry.state.operations
            if operation.order.sequencer == RECORDED
        }
        if not undated:
            return entries
        runs = self.runs.find_all(
            RunReference(image_id=UUID(key.image_id), receipt_id=key.receipt_id, run_id=run_id)
            for run_id, key in undated.items()
        )
        orders = {run.run_id: run.order for run in runs}
        return {key: replace(entry, state=entry.state.with_orders(orders)) for key, entry in entries.items()}

    @contextmanager
    def _answerable(self, runs: list[CompactionRun], lease: Lease | None = None) -> Iterator[None]:
        """Count whatever breaks in the block as a failed attempt of these runs; outages and full disks are nobody's.

        Args:
            runs: what is being written.
            lease: also remembers them in case that the process is killed; without it a kill is nobody's fault.
        """
        if lease is not None:
            lease.suspect([run.reference for run in runs])
        try:
            yield
        except RetryableError as error:
            if error.code is ErrorCode.MERGE_INCOMPLETE:
                # First of all: nobody goes on with it, whatever becomes of the record.
                self._discard()
                self._each([(self._record_failure, run, error) for run in runs])
            raise
        except PipelineError:
            raise
        except Exception as error:
            broken = self._broken(error)
            self._discard()
            if broken.code is ErrorCode.MERGE_BROKEN:
                self._each([(self._record_failure, run, broken) for run in runs])
            raise
        if lease is not None:
            lease.suspect(())

    def _blame(self, lease: Lease) -> None:
        """Count a failed attempt for every run that a merge was writing when its process was killed."""
        suspects = lease.suspects_before
        if not suspects:
            self._is_blamed = True
            return
        killed = RetryableError(
            ErrorCode.MERGE_KILLED,
            value=f"the process that merged {len(suspects)} runs of {self.collection} ended while it wrote them",
            rule="a merge ends with a word",
            way_out="they are merged again in smaller portions; look for a timeout or the end of the memory in the log",
        )
        runs = self.runs.find_all(suspects)
        unfinished = [run for run in runs if run.progress(self.collection).state in {RunState.PENDING, RunState.MERGED}]
        self._each([(self._record_failure, run, killed) for run in unfinished])
        self._is_blamed = True
        lease.suspect(())

    def _record_failure(self, run: CompactionRun, error: PipelineError) -> RetryableError | None:
        """Fail a run for good, or count an attempt; the error when it is to be tried again.

        That a service does not answer is nobody's attempt: an outage quarantines no run.
        """
        if error.code is ErrorCode.SERVICE_UNAVAILABLE and isinstance(error, RetryableError):
            return error
        progress = run.progress(self.collection)
        permanent = isinstance(error, PermanentError) or progress.attempts + 1 >= MAXIMUM_ATTEMPTS
        if permanent:
            logger.error("run failed: %s", error, extra={"run_id": run.run_id, "error_code": error.code})
        self.runs.transition(
            run.reference,
            self.collection,
            {progress.state},
            RunState.FAILED if permanent else progress.state,
            error=str(error),
            count_attempt=True,
            known=run,
        )
        return error if isinstance(error, RetryableError) else None

    def _delta(self, run: CompactionRun) -> Delta | PipelineError:
        """A run's delta, verified; or why there is none."""
        try:
            return self._read_delta(run)
        except PipelineError as error:
            return error

    def _read_delta(self, run: CompactionRun) -> Delta:
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
                way_out="the run stays FAILED with this reason; upload the receipt's OCR result again to embed it anew",
            )
        return delta

    def _publish_if_due(
        self,
        lease: Lease,
        heartbeat: Heartbeat,
        copy: WorkingCopy,
        merged: list[CompactionRun],
        *,
        at_once: bool = False,
    ) -> None:
        """Publish if it is time; what was merged is marked after that, so that readers do not wait for it."""
        outcomes = copy.ledger.outcomes(run.run_id for run in merged)
        pointer = self._published(lease, heartbeat, copy, at_once=at_once)
        if pointer is None:
            self.unpublished |= {run.run_id: run for run in self._mark_merged(merged, outcomes)}
            return
        waited = self.unpublished
        self._forget_unpublished()
        with ThreadPoolExecutor(1) as beside:
            following = beside.submit(self._publisher.follow, pointer)
            try:
                waited |= {run.run_id: run for run in self._mark_merged(merged, outcomes)}
            except RetryableError:
                # What has become of the version matters more than a mark.
                following.result()
                raise
            following.result()
        # Who took over may have built on what was there before.
        heartbeat.require()
        self._mark_completed(list(waited.values()), pointer.version)

    def _published(self, lease: Lease, heartbeat: Heartbeat, copy: WorkingCopy, *, at_once: bool) -> Pointer | None:
        """Publish what waits if it is time; None when it is not."""
        current = lease.current()
        waits = self.unpublished or _is_lost(current, copy) or _is_old(current)
        if not waits or not (at_once or self._is_due(current, copy)):
            return None
        with self._answerable(list(self.unpublished.values())):
            try:
                pointer = self._publisher.publish(lease, heartbeat, copy)
            finally:
                copy.reopen()
        copy.base = pointer.version
        return pointer

    def _is_due(self, current: Pointer | None, copy: WorkingCopy) -> bool:
        """Whether it is time to publish; at once when readers of the directory have nothing to read."""
        every = timedelta(seconds=self.environment.publish_every_seconds)
        if not every and self._more_waits():
            every = PUBLISHED_WHILE_MORE_WAITS
        return is_publication_due(current, self.now(), every) or _is_lost(current, copy) or _is_old(current)

    def _mark_merged(self, runs: list[CompactionRun], outcomes: Mapping[str, RunOutcome]) -> list[CompactionRun]:
        """Move the runs to MERGED; all of them as they then stand, as far as this process can know."""

        def mark(run: CompactionRun) -> None:
            progress, outcome = run.progress(self.collection), outcomes[run.run_id]
            # A run that is merged again after a loss may come out differently: another operation may have failed since.
            if (progress.state, progress.merged_count, progress.superseded_by) != (
                RunState.MERGED,
                outcome.rows,
                outcome.superseded_by,
            ):
                self._told(
                    run,
                    self.runs.transition(
                        run.reference,
                        self.collection,
                        {RunState.PENDING, RunState.MERGED},
                        RunState.MERGED,
                        merged_count=outcome.rows,
                        superseded_by=outcome.superseded_by,
                        known=run,
                    ),
                )

        self._each([(mark, run) for run in runs])
        return [run.in_state(self.collection, RunState.MERGED) for run in runs]

    def _mark_completed(self, runs: list[CompactionRun], version: str) -> None:
        def mark(run: CompactionRun) -> None:
            self._told(
                run,
                self.runs.transition(
                    run.reference,
                    self.collection,
                    {RunState.MERGED},
                    RunState.COMPLETED,
                    snapshot_version=version,
                    known=run,
                ),
            )

        self._each([(mark, run) for run in runs])

    def _told(self, run: CompactionRun, moved: bool) -> None:
        if not moved:
            logger.warning(
                "a run that was merged stands elsewhere; somebody else moved it",
                extra={"collection": self.collection, "run_id": run.run_id},
            )

    def _each(self, calls: list[tuple]) -> None:
        if not calls:
            return
        with ThreadPoolExecutor(CALLS_AT_ONCE) as writers:
            for future in [writers.submit(*call) for call in calls]:
                future.result()

    def _in_state(self, state: RunState) -> Iterator[CompactionRun]:
        """Runs whose progress here is ``state``; the index lists a run under its slower collection or its failure."""
        for listed in (RunState.PENDING, RunState.MERGED, RunState.FAILED):
            for run in self.runs.unfinished(listed):
                if run.progress(self.collection).state is state:
                    yield run

    def _forget_unpublished(self) -> None:
        self.unpublished = {}

    def _discard(self) -> None:
        copy, self._copy = self._copy, None
        self._forget_unpublished()
        if copy is not None:
            copy.discard()


def _is_lost(current: Pointer | None, copy: WorkingCopy) -> bool:
    """Whether the current version is not what the copy was made of: it could not be read."""
    return current is not None and current.version != copy.base


def _is_old(current: Pointer | None) -> bool:
    """Whether the current version is of a layout that readers of this release refuse and a merge converts."""
    return current is not None and current.layout < LAYOUT


def _is_row_of(run: CompactionRun, identifier: str) -> bool:
    name = parse_identifier(identifier)
    # The very spelling: a leading zero more would be another id of the same row.
    return name is not None and name.receipt == receipt_of(run) and name.identifier == identifier


def _by_receipt(runs: Iterable[CompactionRun]) -> dict[ReceiptKey, list[Operation]]:
    operations: dict[ReceiptKey, list[Operation]] = {}
    for run in runs:
        operations.setdefault(receipt_of(run), []).append(operation_of(run))
    return operations
