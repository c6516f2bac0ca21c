"""Merging the runs of one collection and publishing versions, under the collection's lease.

A kill between any two steps loses nothing: a run is MERGED only when the working copy holds it, COMPLETED only when a
published version does, and what is not is merged again into the next copy. Where a cold copy comes from is said in
``restoring.py``, what is written in ``planning.py``, how it becomes a version in ``publishing.py``; the copy that stays
warm is kept by ``keeping.py``.

Longer than most modules: what a merge does between taking and giving back the lease is read in one piece.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from compaction_handler.blaming import BatchBrokenError, Blame
from compaction_handler.checking import ChildCheck
from compaction_handler.environment import MergeEnvironment
from compaction_handler.keeping import CopyKeeper
from compaction_handler.lease import Heartbeat, current_pointer
from compaction_handler.marking import RunMarker
from compaction_handler.planning import batches, deltas_needed, is_publication_due, make_plan, operations_by_receipt
from compaction_handler.publishing import Check, Publisher
from compaction_handler.reading import DeltaReader, dated_entries
from compaction_handler.rebuilding import copy_built_again, copy_from_deltas
from compaction_handler.working_copy import WorkingCopy
from pipeline.aws import AwsClient
from pipeline.collections.layout import LAYOUT, Pointer
from pipeline.collections.receipts import receipt_of
from pipeline.contracts.delta import Delta
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError
from pipeline.memory import give_back
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository

logger = logging.getLogger(__name__)

SWEEP_AGE = timedelta(minutes=5)
"""A run that is PENDING for longer has lost its message; the tick merges it."""
SWEEP_RUNS = 2_000
"""Runs of each state that one tick drives again; the next tick takes the rest."""
PUBLISHED_WHILE_MORE_WAITS = timedelta(seconds=15)
"""Without a publication interval: at most so long a published run waits for the messages behind it."""


@dataclass
class CollectionMerger:
    """Merges one collection; lives as long as its process and keeps the working copy warm between calls.

    Attributes:
        collection: its name.
        start_check: starts the process that checks a copy before it is published.
    """

    collection: CollectionName
    environment: MergeEnvironment
    objects: ObjectStore
    runs: RunRepository
    dynamodb: AwsClient
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    start_check: Callable[[], Check] = ChildCheck
    _keeper: CopyKeeper = field(init=False)
    _marker: RunMarker = field(init=False)
    _blame: Blame = field(init=False)
    _deltas: DeltaReader = field(init=False)
    _more_waits: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self._marker = RunMarker(collection=self.collection, runs=self.runs)
        self._deltas = DeltaReader(collection=self.collection, environment=self.environment, objects=self.objects)
        self._keeper = CopyKeeper(
            collection=self.collection,
            environment=self.environment,
            objects=self.objects,
            dynamodb=self.dynamodb,
            publisher=Publisher(
                collection=self.collection,
                environment=self.environment,
                objects=self.objects,
                now=self.now,
                start_check=self.start_check,
            ),
        )
        self._blame = Blame(keeper=self._keeper, marker=self._marker, runs=self.runs)

    @property
    def copy(self) -> WorkingCopy | None:
        """The working copy; None when the next merge starts cold."""
        return self._keeper.copy

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
        with self._keeper.leased() as (lease, heartbeat):
            self._blame.killed(lease)
            left, failure = self._merge_all(heartbeat, wanted, has_time)
        if failure is not None:
            # The others have had their turn; the message comes back for those that failed.
            raise failure
        return left

    def _merge_all(
        self, heartbeat: Heartbeat, wanted: dict[str, RunReference], has_time: Callable[[], bool]
    ) -> tuple[set[str], PipelineError | None]:
        """Merge in portions; after one that broke the rest goes on, on another copy.

        Returns:
            The ids of the runs that were not reached in time, and the last failure of a run that was.
        """
        failure: PipelineError | None = None
        broken: set[str] = set()
        while True:
            copy, is_cold = self._keeper.start(heartbeat.lease)
            if is_cold:
                wanted |= {run.run_id: run.reference for run in self._marker.in_state(RunState.MERGED)}
            left = {run_id: reference for run_id, reference in wanted.items() if run_id not in broken}
            runs, refused = self._settle_known(copy, self.runs.find_all(left.values()), left)
            failure = refused or failure
            try:
                unreached, failed = self._merge_portions(heartbeat, copy, runs, has_time)
            except BatchBrokenError as error:
                failure = error.error
                # An attempt a delivery: what broke for a passing reason is not given up within minutes.
                broken |= {run.run_id for run in error.runs}
                wanted |= {reference.run_id: reference for reference in error.lost}
                if not has_time():
                    return set(), failure
            else:
                return unreached, failed or failure

    def _merge_portions(
        self, heartbeat: Heartbeat, copy: WorkingCopy, runs: list[CompactionRun], has_time: Callable[[], bool]
    ) -> tuple[set[str], PipelineError | None]:
        left: set[str] = set()
        failures: list[PipelineError | None] = []
        for batch in batches(runs, self.collection):
            if not has_time():
                left |= {run.run_id for run in batch}
                continue
            is_suspect = any(run.progress(self.collection).attempts for run in batch)
            if is_suspect:
                # What waits is published without the suspects, and each portion of them alone.
                failures.append(self._publish_if_due(heartbeat, copy, [], at_once=True))
            merged, failed = self._merge_batch(heartbeat, copy, batch)
            failures += [failed, self._publish_if_due(heartbeat, copy, merged, at_once=is_suspect)]
        failures.append(self._publish_if_due(heartbeat, copy, []))
        return left, next(filter(None, reversed(failures)), None)

    def more_waits(self, merging: Collection[str]) -> bool:
        """Whether messages with further runs are on their way, according to the table; False when it does not answer.

        Args:
            merging: ids of the runs that are merged now.
        """
        since = self.now() - SWEEP_AGE
        try:
            return any(
                run.run_id not in merging and run.created_at >= since and not run.progress(self.collection).attempts
                for run in self._marker.in_state(RunState.PENDING)
            )
        # Whatever it is: this only decides how soon to publish.
        except Exception:
            logger.warning("the table does not say what waits", exc_info=True)
            return False

    def tick(self, has_time: Callable[[], bool] = lambda: True) -> None:
        """Merge runs whose message was lost, replay what is only MERGED, publish what waits. Nothing to do is usual.

        A version of an older layout is converted, because readers of this release refuse it; a pointer item that
        somebody deleted is written again.
        """
        old = self.now() - SWEEP_AGE
        swept: list[RunReference] = []
        waiting: list[RunReference] = []
        for run, state in self._marker.unfinished():
            if state is RunState.MERGED and len(waiting) < SWEEP_RUNS:
                waiting.append(run.reference)
            elif state is RunState.PENDING and run.created_at < old and len(swept) < SWEEP_RUNS:
                swept.append(run.reference)
            if len(swept) == len(waiting) == SWEEP_RUNS:
                break
        pointer = current_pointer(self.environment.table_name, self.dynamodb, self.collection)
        is_gone = pointer is None and self._keeper.newest_current() is not None
        if swept or waiting or is_gone or _is_old(pointer):
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
        with self._keeper.leased() as (lease, heartbeat):
            self._blame.killed(lease)
            self._keeper.discard()
            current = self._keeper.current(lease)
            if current is None:
                raise PermanentError(
                    ErrorCode.SNAPSHOT_MISSING,
                    value=f"nothing was ever published of {self.collection}",
                    rule="a collection that is rebuilt has a published version",
                    way_out="upload receipts; their first merge publishes it",
                )
            self._keeper.publisher.prepare()
            self._keeper.copy = copy = (
                copy_from_deltas(self._deltas, self.runs, current.version, heartbeat.require)
                if from_deltas
                else copy_built_again(self.collection, self.environment, self.objects, current, heartbeat.require)
            )
            copy.revision += 1
            pointer = self._keeper.publish(lease, heartbeat, copy)
            self._keeper.publisher.follow(pointer)
            # What was only MERGED in the copy before is merged again by a cold start.
            self._keeper.discard()
            return pointer

    def close(self) -> None:
        """Give up the working copy and the check that waits; the next merge starts cold."""
        self._keeper.publisher.abandon()
        self._keeper.discard()

    def _settle_known(
        self, copy: WorkingCopy, runs: list[CompactionRun], wanted: dict[str, RunReference]
    ) -> tuple[list[CompactionRun], PipelineError | None]:
        """Move the runs that the copy holds to the state that they have reached.

        Returns:
            The runs that are to be merged, and why one of the others could not be moved.
        """
        for unknown in wanted.keys() - {run.run_id for run in runs}:
            logger.error("a message names a run that does not exist", extra={"run_id": unknown})
        unfinished = [
            run for run in runs if run.progress(self.collection).state not in {RunState.COMPLETED, RunState.FAILED}
        ]
        outcomes = copy.ledger.outcomes(run.run_id for run in unfinished)
        held, refused = self._marker.merged([run for run in unfinished if run.run_id in outcomes], outcomes)
        published = [run for run in held if run.run_id not in self._keeper.unpublished]
        refused = self._marker.completed(published, copy.base) or refused
        return [run for run in unfinished if run.run_id not in outcomes], refused

    def _merge_batch(
        self, heartbeat: Heartbeat, copy: WorkingCopy, batch: list[CompactionRun]
    ) -> tuple[list[CompactionRun], RetryableError | None]:
        """Bring runs into the working copy; a bad delta fails its own run.

        Returns:
            Those that the copy holds, not yet marked, and the last error of a run that must be tried again.
        """
        if self._is_due(heartbeat.lease.current(), copy):
            self._keeper.publisher.prepare(copy)
        with self._blame.writing(heartbeat, batch):
            written = self._write(heartbeat, copy, batch)
        # The deltas are gone; the index is next.
        give_back()
        return written

    def _write(
        self, heartbeat: Heartbeat, copy: WorkingCopy, batch: list[CompactionRun]
    ) -> tuple[list[CompactionRun], RetryableError | None]:
        runs = {run.run_id: run for run in batch}
        entries = dated_entries(copy.ledger, self.runs, {receipt_of(run) for run in batch})
        deltas: dict[str, Delta] = {}
        failure: RetryableError | None = None
        while needed := deltas_needed(entries, operations_by_receipt(runs.values())) - deltas.keys():
            answers = self._deltas.answers(runs[run_id] for run_id in sorted(needed))
            for run_id, answer in zip(sorted(needed), answers, strict=True):
                if isinstance(answer, Delta):
                    deltas[run_id] = answer
                    continue
                # Without this operation another one may decide the receipt: hence the loop.
                failure = self._marker.failed(runs.pop(run_id), answer) or failure
        operations = operations_by_receipt(runs.values())
        plan = make_plan(
            {key: entries[key] for key in operations},
            operations,
            {run_id: len(delta.rows) for run_id, delta in deltas.items()},
        )
        copy.apply(plan, deltas, heartbeat.require)
        # At once: a run that the ledger knows and this does not is taken for published.
        self._keeper.unpublished |= runs
        return list(runs.values()), failure

    def _publish_if_due(
        self, heartbeat: Heartbeat, copy: WorkingCopy, merged: list[CompactionRun], *, at_once: bool = False
    ) -> PipelineError | None:
        """Publish if it is time; what was merged is marked after that, so that readers do not wait for it.

        Returns:
            Why a run could not be marked.
        """
        outcomes = copy.ledger.outcomes(run.run_id for run in merged)
        pointer = self._published(heartbeat, copy, at_once=at_once)
        if pointer is None:
            moved, refused = self._marker.merged(merged, outcomes)
            self._keeper.unpublished |= {run.run_id: run for run in moved}
            return refused
        waited = self._keeper.unpublished
        self._keeper.unpublished = {}
        with ThreadPoolExecutor(1) as beside:
            following = beside.submit(self._keeper.publisher.follow, pointer)
            moved, refused = self._marker.merged(merged, outcomes)
            following.result()
        # Who took over may have built on what was there before.
        heartbeat.require()
        waited |= {run.run_id: run for run in moved}
        return self._marker.completed(waited.values(), pointer.version) or refused

    def _published(self, heartbeat: Heartbeat, copy: WorkingCopy, *, at_once: bool) -> Pointer | None:
        """Publish what waits if it is time; None when it is not."""
        current = heartbeat.lease.current()
        waits = self._keeper.unpublished or _is_lost(current, copy) or _is_old(current)
        if not waits or not (at_once or self._is_due(current, copy)):
            return None
        with self._blame.answerable(heartbeat, list(self._keeper.unpublished.values())):
            pointer = self._keeper.publish(heartbeat.lease, heartbeat, copy)
        copy.reopen()
        copy.base = pointer.version
        return pointer

    def _is_due(self, current: Pointer | None, copy: WorkingCopy) -> bool:
        """Whether it is time to publish; at once when readers of the directory have nothing to read."""
        every = timedelta(seconds=self.environment.publish_every_seconds)
        if not every and self._more_waits():
            every = PUBLISHED_WHILE_MORE_WAITS
        return is_publication_due(current, self.now(), every) or _is_lost(current, copy) or _is_old(current)


def _is_lost(current: Pointer | None, copy: WorkingCopy) -> bool:
    """Whether the current version is not what the copy was made of: it could not be read, or its pointer is gone."""
    return copy.base != (current.version if current is not None else "")


def _is_old(current: Pointer | None) -> bool:
    """Whether the current version is of a layout that readers of this release refuse and a merge converts."""
    return current is not None and current.layout < LAYOUT
