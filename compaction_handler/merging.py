"""Merging the runs of one collection and publishing versions, under the collection's lease.

A kill between any two steps loses nothing: a run is MERGED when the working copy holds it,
COMPLETED when a published version does, and what is only MERGED is merged again into the next copy.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from compaction_handler.environment import MergeEnvironment
from compaction_handler.lease import Lease, acquire
from compaction_handler.working_copy import WorkingCopy
from pipeline.aws import AwsClient
from pipeline.collections.layout import Pointer, current_key, version_path
from pipeline.collections.store import (
    copy_version,
    download_version,
    read_current,
    require_version,
    upload_version,
    write_current,
)
from pipeline.contracts.delta import Delta, decode_delta
from pipeline.contracts.identifiers import CollectionName, delta_key
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.objects import ObjectStore
from pipeline.runs import RunRepository

logger = logging.getLogger(__name__)

MAXIMUM_ATTEMPTS = 5
"""Failed merges of one run before it is quarantined as FAILED (docs/contracts.md)."""
SWEEP_AGE = timedelta(minutes=5)
"""A run that is PENDING for longer has lost its message; the tick merges it."""
VERSIONS_KEPT_SECONDS = 900
"""Grace for readers of an older version on the directory before it is removed."""
COPY_LOST = frozenset({ErrorCode.LEASE_LOST, ErrorCode.MERGE_INCOMPLETE})
"""The copy is sound unless the lease went or a row was missing: then nobody builds on it or publishes it."""


@dataclass
class CollectionMerger:
    """Merges one collection; lives as long as its process and keeps the working copy warm between calls.

    Attributes:
        collection: its name.
        unpublished: runs that the working copy holds and no published version does.
    """

    collection: CollectionName
    environment: MergeEnvironment
    objects: ObjectStore
    runs: RunRepository
    dynamodb: AwsClient
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    unpublished: dict[str, RunReference] = field(default_factory=dict)
    _copy: WorkingCopy | None = None

    def merge(self, references: Iterable[RunReference]) -> None:
        """Merge what ``references`` name and publish if it is due.

        Raises:
            RetryableError: LEASE_HELD, LEASE_LOST, MERGE_INCOMPLETE, SERVICE_UNAVAILABLE: deliver the message again.
            PermanentError: SNAPSHOT_MISSING and its like: the collection needs an operator.
        """
        with self._leased() as lease:
            copy = self._working_copy(lease)
            failure: RetryableError | None = None
            for reference in references:
                try:
                    self._merge_run(lease, copy, reference)
                except RetryableError as error:
                    if error.code in COPY_LOST:
                        raise
                    # Its neighbours go on; the message comes back for this one.
                    failure = failure or error
            self._publish_if_due(lease, copy)
            if failure is not None:
                raise failure

    def tick(self) -> None:
        """Merge runs whose message was lost, replay what is only MERGED, publish what waits. Nothing to do is usual."""
        old = self.now() - SWEEP_AGE
        swept = [run.reference for run in self._in_state(RunState.PENDING) if run.created_at < old]
        waiting = [run.reference for run in self._in_state(RunState.MERGED)]
        if swept or waiting:
            logger.info("tick", extra={"collection": self.collection, "swept": len(swept), "merged": len(waiting)})
            self.merge(swept + waiting)

    @contextmanager
    def _leased(self) -> Iterator[Lease]:
        lease = acquire(self.environment.table_name, self.dynamodb, self.collection, self.environment.lease_seconds)
        try:
            yield lease
        except RetryableError as error:
            if error.code in COPY_LOST:
                self._discard()
            if error.code is not ErrorCode.LEASE_LOST:
                lease.release(self._copy.stamp if self._copy is not None else "")
            raise
        except BaseException:
            # A Chroma directory that was open while something unknown broke is not trusted again.
            self._discard()
            lease.release("")
            raise
        else:
            lease.release(self._copy.stamp if self._copy is not None else "")

    def _working_copy(self, lease: Lease) -> WorkingCopy:
        """The warm copy if it wrote last; else a restored one, with everything that is only MERGED replayed."""
        if self._copy is not None and self._copy.stamp == lease.copy_before:
            return self._copy
        self._discard()
        pointer = lease.current()
        self._copy = WorkingCopy(
            self.collection,
            parent=Path(self.environment.working_directory),
            source=None if pointer is None and self._may_start_empty() else self._published(pointer),
        )
        for run in list(self._in_state(RunState.MERGED)):
            self._merge_run(lease, self._copy, run.reference)
        return self._copy

    def _may_start_empty(self) -> bool:
        root = Path(self.environment.collections_directory)
        return self.environment.bootstrap_collections and read_current(root, self.collection) is None

    def _published(self, pointer: Pointer | None) -> Path:
        root = Path(self.environment.collections_directory)
        if pointer is None:
            raise PermanentError(
                ErrorCode.SNAPSHOT_MISSING,
                value=f"collection {self.collection} has no current version",
                rule="an empty start must be wanted: receipts:bootstrapCollections",
                way_out="restore the table's pointer, or set receipts:bootstrapCollections for a new stack",
            )
        self._require_compatible(pointer.model, pointer.dimensions, f"version {pointer.version}")
        try:
            return require_version(root, self.collection, pointer)
        except PermanentError as error:
            if error.code is not ErrorCode.SNAPSHOT_MISSING:
                raise
            logger.warning("version is not on the directory; it is restored from S3", extra={"reason": str(error)})
            restored = download_version(self.objects, self.environment.vectors_bucket, self.collection, pointer, root)
            write_current(root, self.collection, pointer)
            return restored

    def _merge_run(self, lease: Lease, copy: WorkingCopy, reference: RunReference) -> None:
        """Bring one run into the working copy. A bad delta fails its own run and raises nothing."""
        run = self.runs.find(reference)
        if run is None:
            logger.error("a message names a run that does not exist", extra={"run_id": reference.run_id})
            return
        state = run.progress(self.collection).state
        held = reference.run_id in self.unpublished
        if state in (RunState.COMPLETED, RunState.FAILED) or (state is RunState.MERGED and held):
            return
        try:
            merged = copy.upsert(self._delta(run), lease.renew)
        except PermanentError as error:
            logger.exception("run failed", extra={"run_id": run.run_id, "error_code": error.code})
            self.runs.transition(
                reference, self.collection, {state}, RunState.FAILED, error=str(error), count_attempt=True
            )
            return
        except RetryableError as error:
            if error.code is not ErrorCode.LEASE_LOST:
                self._count_attempt(run, state, error)
            raise
        self.unpublished[reference.run_id] = reference
        if state is RunState.PENDING:
            self.runs.transition(reference, self.collection, {RunState.PENDING}, RunState.MERGED, merged_count=merged)

    def _count_attempt(self, run: CompactionRun, state: RunState, error: RetryableError) -> None:
        last = run.progress(self.collection).attempts + 1 >= MAXIMUM_ATTEMPTS
        new_state = RunState.FAILED if last else state
        self.runs.transition(run.reference, self.collection, {state}, new_state, error=str(error), count_attempt=True)

    def _delta(self, run: CompactionRun) -> Delta:
        progress = run.progress(self.collection)
        key = delta_key(self.collection, run.run_id)
        delta = decode_delta(self.objects.get_verified(run.delta_bucket, key, progress.delta_sha256), key)
        self._require_compatible(delta.model, delta.dimensions, f"delta of run {run.run_id}")
        if len(delta.rows) != progress.expected_count:
            raise PermanentError(
                ErrorCode.DELTA_INVALID,
                value=f"{key} has {len(delta.rows)} rows",
                rule=f"the run expects {progress.expected_count}",
                way_out="upload the receipt again",
            )
        return delta

    def _require_compatible(self, model: str, dimensions: int, what: str) -> None:
        expected = (self.environment.embedding_model, self.environment.embedding_dimensions)
        if (model, dimensions) != expected:
            raise PermanentError(
                ErrorCode.DELTA_INCOMPATIBLE,
                value=f"{what} is of {model} with {dimensions} dimensions",
                rule=f"the collection is of {expected[0]} with {expected[1]}; models are never mixed",
                way_out="use another stack for another model, or embed all receipts anew",
            )

    def _publish_if_due(self, lease: Lease, copy: WorkingCopy) -> None:
        if not self.unpublished:
            return
        pointer = lease.current()
        interval = timedelta(seconds=self.environment.publish_every_seconds)
        if pointer is None or self.now() - pointer.published_at >= interval:
            self._publish(lease, copy)

    def _publish(self, lease: Lease, copy: WorkingCopy) -> None:
        """Copy, make durable, then move the pointers; whoever is killed in between leaves the old version current."""
        root, bucket = Path(self.environment.collections_directory), self.environment.vectors_bucket
        # One publication a lease at most, and the owner makes a name that a dead holder of the same fence never used.
        version = f"{lease.fence:012d}-{lease.owner[:8]}"
        count = copy.count
        copy.close()
        try:
            lease.renew()
            digest = copy_version(copy.directory, root, self.collection, version)
        finally:
            # Whatever fails from here on, a copy that stays warm is an open one.
            copy.reopen()
        upload_version(self.objects, bucket, root, self.collection, version)
        pointer = Pointer(
            version=version,
            fence=lease.fence,
            count=count,
            model=self.environment.embedding_model,
            dimensions=self.environment.embedding_dimensions,
            digest=digest,
            published_at=self.now(),
        )
        lease.renew()
        lease.point(pointer)
        write_current(root, self.collection, pointer)
        self.objects.put_verified(bucket, current_key(self.collection), pointer.model_dump_json().encode())
        for reference in list(self.unpublished.values()):
            self.runs.transition(
                reference, self.collection, {RunState.MERGED}, RunState.COMPLETED, snapshot_version=version
            )
            del self.unpublished[reference.run_id]
        self._remove_old_versions(root, version)
        logger.info("published", extra={"collection": self.collection, "version": version, "vectors": count})

    def _remove_old_versions(self, root: Path, current: str) -> None:
        for directory in version_path(root, self.collection, current).parent.iterdir():
            age = time.time() - directory.stat().st_mtime
            if directory.name < current and age > VERSIONS_KEPT_SECONDS:
                shutil.rmtree(directory)

    def _in_state(self, state: RunState) -> Iterator[CompactionRun]:
        """Runs whose progress here is ``state``; the index lists a run under its slower collection or its failure."""
        for listed in (RunState.PENDING, RunState.MERGED, RunState.FAILED):
            for run in self.runs.unfinished(listed):
                if run.progress(self.collection).state is state:
                    yield run

    def _discard(self) -> None:
        if self._copy is not None:
            self._copy.discard()
            self._copy = None
        self.unpublished.clear()
