"""Publishing a working copy as a new version; a kill between any two steps leaves a whole version current.

1. The copy is sealed: index and letters are brought up to the texts, and its files are at rest.
2. It is copied to the collections directory and fsynced, while a child process checks it; when it is sound, the new
   version is renamed into place.
3. The pointer item moves, if the lease and its fence are still valid. This is the moment of publication.
4. CURRENT follows on the directory: its readers see the version.
5. The version goes to S3, the manifest last, and CURRENT follows there, never backwards.
6. Versions whose grace is over are removed.

A run is COMPLETED after step 5, when its rows are in two places. What a version has that S3 does not is PENDING or
MERGED, so a directory that is lost in between is restored to what S3 has, and the runs are merged again.

Longer than most modules, because the order of these steps is what it is about.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from compaction_handler.checking import ChildCheck
from compaction_handler.environment import MergeEnvironment
from compaction_handler.lease import Heartbeat, Lease, lost_lease
from compaction_handler.soundness import Inspection
from compaction_handler.storing import (
    copy_version,
    delete_expired,
    remove_expired,
    upload_version,
    write_current,
    write_current_object,
)
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.chroma import PARAMETERS
from pipeline.collections.layout import LAYOUT, MANIFEST_NAME, Pointer, replaced_by_next, version_name
from pipeline.collections.missed import missed_files
from pipeline.collections.versions import gaps_in_s3, read_current_object, require_version
from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError
from pipeline.metrics import Measure, metric_fields
from pipeline.objects import ObjectStore
from pipeline.storage import storage_error

logger = logging.getLogger(__name__)


class Check(Protocol):
    """Judges closed copies; ``ChildCheck`` in production."""

    @property
    def ready(self) -> bool:
        """Whether it can judge another copy; else another one is started."""
        ...

    def expect(self, size: int) -> None:
        """Be ready soon for a copy of about so many bytes."""
        ...

    def run(self, inspection: Inspection) -> tuple[int, ...]:
        """Raise SNAPSHOT_UNSOUND, SNAPSHOT_RECALL or STORAGE_FULL, or return what the index misses (``missed.py``)."""
        ...

    def close(self) -> None:
        """Give up."""
        ...


@dataclass
class Publisher:
    """Publishes one collection.

    Attributes:
        start_check: starts what judges the copies; called before the copy is ready, because that takes a while.
        behind: what is published and, as far as this process knows, not in S3 yet.
    """

    collection: CollectionName
    environment: MergeEnvironment
    objects: ObjectStore
    now: Callable[[], datetime]
    start_check: Callable[[], Check] = ChildCheck
    behind: Pointer | None = None
    _check: Check | None = None

    @property
    def root(self) -> Path:
        """The collections directory."""
        return Path(self.environment.collections_directory)

    @property
    def _kept(self) -> timedelta:
        return timedelta(seconds=self.environment.versions_kept_seconds)

    def prepare(self, copy: WorkingCopy | None = None) -> None:
        """Start the check's process beside the merge, unless the last one is still there, and say what comes."""
        if self._check is None or not self._check.ready:
            self.abandon()
            self._check = self.start_check()
        if copy is not None:
            self._check.expect(copy.size)

    def abandon(self) -> None:
        """End the check's process."""
        if self._check is not None:
            self._check.close()
            self._check = None

    def publish(self, lease: Lease, heartbeat: Heartbeat, copy: WorkingCopy) -> Pointer:
        """Publish a working copy on the collections directory; it is closed then. ``follow`` does the rest.

        Args:
            lease: held.
            heartbeat: of the lease.
            copy: open, nothing pending.

        Raises:
            RetryableError: SNAPSHOT_UNSOUND, SNAPSHOT_RECALL, STORAGE_FULL, LEASE_LOST, LEASE_HELD,
                SERVICE_UNAVAILABLE. Nothing was published, unless DynamoDB took the pointer and its answer was lost,
                or CURRENT was locked; the next publication is then newer.
        """
        previous = lease.current()
        version = version_name(lease.fence, lease.owner, copy.revision)
        rows, texts = copy.count, copy.text_count
        heartbeat.require()
        self.prepare(copy)
        copy.seal(heartbeat.require)
        try:
            digest, missed = self._checked(
                heartbeat, copy, rows, texts, lambda inspection: self._copied_and_checked(copy, version, inspection)
            )
        except RetryableError as error:
            if error.code is ErrorCode.STORAGE_FULL and previous is not None:
                # They go after a publication, and there is none while they leave no room for it.
                self._remove_expired(previous, self.now())
            raise
        heartbeat.require()
        pointer = Pointer(
            version=version,
            fence=lease.fence,
            count=rows,
            texts=texts,
            layout=LAYOUT,
            model=self.environment.embedding_model,
            dimensions=self.environment.embedding_dimensions,
            digest=digest,
            published_at=self.now(),
            replaced=replaced_by_next(previous, self.now(), self._kept),
        )
        lease.point(pointer)
        self.behind = pointer
        write_current(self.root, self.collection, pointer)
        logger.info(
            "published",
            extra={
                "collection": self.collection,
                "version": version,
                "rows": rows,
                "texts": texts,
                "missed": len(missed),
            },
        )
        return pointer

    def follow(self, pointer: Pointer) -> None:
        """Bring CURRENT on the directory, the version in S3 and CURRENT there up to the pointer item; then tidy.

        Raises:
            RetryableError: SERVICE_UNAVAILABLE, OBJECT_UPLOAD_UNVERIFIED, LEASE_HELD: the version is published and not
                in S3 yet; it remains ``behind``. LEASE_LOST: another holder has published since, perhaps without it.
        """
        self.behind = pointer
        bucket = self.environment.vectors_bucket
        write_current(self.root, self.collection, pointer)
        there = read_current_object(self.objects, bucket, self.collection)
        if there is not None and there.version > pointer.version:
            raise lost_lease(self.collection, pointer.fence, f"S3 has version {there.version} already")
        is_new = there is None or there.version < pointer.version
        if is_new or self._has_gaps(pointer):
            try:
                upload_version(self.objects, bucket, self.collection, pointer, self.root)
            except OSError as error:
                raise unreadable_version(error, pointer.version) from error
            write_current_object(self.objects, bucket, self.collection, pointer)
        self.behind = None
        self._tidy(pointer)

    def _has_gaps(self, pointer: Pointer) -> bool:
        """Whether somebody removed or changed objects of the version that S3's CURRENT names."""
        try:
            manifest = (require_version(self.root, self.collection, pointer) / MANIFEST_NAME).read_bytes()
        except (PermanentError, OSError):
            # Then S3 has the only copy, and a process that starts cold finds out which of the two is whole.
            return False
        gaps = gaps_in_s3(self.objects, self.environment.vectors_bucket, self.collection, pointer, manifest)
        if gaps:
            logger.error(
                "objects of the published version were lost in S3; it is written again",
                extra={"collection": self.collection, "version": pointer.version, "objects": gaps},
            )
        return bool(gaps)

    def judge(self, heartbeat: Heartbeat, copy: WorkingCopy) -> None:
        """Check a copy as a publication does, ask all its texts and publish nothing; it is closed then.

        Raises:
            RetryableError: SNAPSHOT_UNSOUND, SNAPSHOT_RECALL, LEASE_LOST.
        """
        rows, texts = copy.count, copy.text_count
        copy.ask_whole()
        self.prepare(copy)
        copy.seal(heartbeat.require)
        self._checked(heartbeat, copy, rows, texts, self._judged)

    def _checked(
        self,
        heartbeat: Heartbeat,
        copy: WorkingCopy,
        rows: int,
        texts: int,
        check: Callable[[Inspection], tuple[str, tuple[int, ...]]],
    ) -> tuple[str, tuple[int, ...]]:
        """Check a sealed copy; build its index again, with stronger parameters, when it falls short."""
        while True:
            start, parameters = copy.asked_from(texts), copy.parameters
            inspection = Inspection(
                collection=self.collection,
                directory=str(copy.directory),
                private_directory=self.environment.working_directory,
                rows=rows,
                texts=texts,
                dimensions=self.environment.embedding_dimensions,
                asked_from=start,
            )
            try:
                digest, missed = check(inspection)
            except RetryableError as error:
                if error.code is not ErrorCode.SNAPSHOT_RECALL:
                    raise
                if parameters + 1 == len(PARAMETERS):
                    fields = metric_fields(
                        {Measure.LOW_RECALL: 1}, table=self.environment.table_name, moment=self.now()
                    )
                    logger.exception("recall is below its limit", extra=fields)
                    raise
                logger.warning("the index is built again with stronger parameters", extra={"reason": str(error)})
                copy.rebuild(parameters + 1, heartbeat.require)
                self.prepare(copy)
                continue
            copy.asked(start, texts, missed)
            return digest, missed

    def _judged(self, inspection: Inspection) -> tuple[str, tuple[int, ...]]:
        return "", self._prepared.run(inspection)

    @property
    def _prepared(self) -> Check:
        if self._check is None:
            raise ValueError("a publication is prepared first")
        return self._check

    def _copied_and_checked(
        self, copy: WorkingCopy, version: str, inspection: Inspection
    ) -> tuple[str, tuple[int, ...]]:
        with ThreadPoolExecutor(1) as beside:
            judged = beside.submit(self._prepared.run, inspection)
            try:
                digest = copy_version(
                    copy.directory, self.root, self.collection, version, lambda: missed_files(judged.result())
                )
                return digest, judged.result()
            except OSError as error:
                # An unsound copy is the graver error: it must not be used again.
                judged.result()
                raise storage_error(error, self.root) from error

    def _tidy(self, pointer: Pointer) -> None:
        """Remove what is expired; what fails is tried again after the next publication, and this one stays valid."""
        moment = self.now()
        removed = self._remove_expired(pointer, moment)
        try:
            removed += delete_expired(
                self.objects, self.environment.vectors_bucket, self.collection, pointer, moment, kept=self._kept
            )
        except PipelineError:
            logger.exception("old versions were not all deleted in S3", extra={"collection": self.collection})
        if removed:
            logger.info("removed versions", extra={"collection": self.collection, "versions": removed})

    def _remove_expired(self, current: Pointer, moment: datetime) -> list[str]:
        try:
            return remove_expired(self.root, self.collection, current, moment, self._kept)
        except OSError:
            logger.exception("old versions were not all removed", extra={"collection": self.collection})
            return []


def unreadable_version(error: OSError, version: str) -> RetryableError:
    """The error of a published file that cannot be read while it goes to S3."""
    return RetryableError(
        ErrorCode.OBJECT_UPLOAD_UNVERIFIED,
        value=f"version {version}: {error}",
        rule="a published version stays as it was checked",
        way_out="the next merge looks at the whole version; when it is damaged, it goes back to what S3 has",
    )
