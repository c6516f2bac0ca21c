"""The working copy that a process keeps warm between merges, and the lease under which it is used."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from compaction_handler.environment import MergeEnvironment
from compaction_handler.failures import COPY_LOST, broken_merge
from compaction_handler.lease import Heartbeat, Lease, acquire
from compaction_handler.publishing import Publisher
from compaction_handler.restoring import newest_current, restore
from compaction_handler.working_copy import WorkingCopy
from pipeline.aws import AwsClient
from pipeline.collections.layout import Pointer
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.run import CompactionRun
from pipeline.errors import PipelineError, RetryableError
from pipeline.objects import ObjectStore

logger = logging.getLogger(__name__)


@dataclass
class CopyKeeper:
    """Keeps the working copy of one collection.

    Attributes:
        copy: the working copy; None when the next merge starts cold.
        unpublished: runs that the working copy holds and no published version does.
        is_blamed: whether the suspects of a killed holder have been blamed under this lease.
    """

    collection: CollectionName
    environment: MergeEnvironment
    objects: ObjectStore
    dynamodb: AwsClient
    publisher: Publisher
    copy: WorkingCopy | None = None
    unpublished: dict[str, CompactionRun] = field(default_factory=dict)
    is_blamed: bool = False
    _revision: int = 0

    @contextmanager
    def leased(self) -> Iterator[tuple[Lease, Heartbeat]]:
        """Hold the lease for the ``with`` block; a copy that somebody else has written after is given up first.

        Raises:
            RetryableError: LEASE_HELD, LEASE_LOST, SERVICE_UNAVAILABLE, or what the block raised: an error that is none
                of the pipeline's as MERGE_BROKEN, STORAGE_FULL or SERVICE_UNAVAILABLE.
        """
        lease = acquire(
            self.environment.table_name,
            self.dynamodb,
            self.collection,
            self.environment.lease_seconds,
            published_fence=self._published_fence,
        )
        self.is_blamed = False
        try:
            if self.copy is not None and self.copy.stamp != lease.copy_before:
                # At once: whatever breaks from here on, this copy is never named as the one that wrote last.
                self.discard()
            with Heartbeat(lease) as heartbeat:
                yield lease, heartbeat
        except RetryableError as error:
            if error.code in COPY_LOST:
                self.discard()
            # Also when it is lost, since a release is conditional. The error is reported, so no run stays suspected.
            self._release(lease)
            raise
        except Exception as error:
            # A Chroma directory that was open while something unknown broke is not trusted again.
            self.discard()
            self._release(lease)
            if isinstance(error, PipelineError):
                raise
            raise self.broken(error) from error
        except BaseException:
            self.discard()
            self._release(lease)
            raise
        else:
            lease.release(self._stamp)

    def broken(self, error: Exception) -> RetryableError:
        """The pipeline's error for one of another kind."""
        return broken_merge(error, self.collection, Path(self.environment.working_directory))

    def start(self, lease: Lease) -> tuple[WorkingCopy, bool]:
        """The warm copy, or a restored one.

        Returns:
            The copy, and whether it was restored: then it lacks everything that is only MERGED.

        Raises:
            PermanentError, RetryableError: as ``restore`` and ``Publisher.follow``.
        """
        if self.copy is not None:
            if self.publisher.behind is not None:
                self.publisher.follow(self.publisher.behind)
            return self.copy, False
        self.publisher.behind = None
        self.publisher.prepare()
        pointer = self.current(lease)
        base, self.copy = restore(self.collection, self.environment, self.objects, pointer)
        # Names of versions sort by it under one lease, also when a copy was lost between two of them.
        self.copy.revision = self._revision
        if base is not None and base == pointer:
            # The process that moved the pointer may have been killed before S3 had the version.
            self.publisher.follow(base)
        return self.copy, True

    def current(self, lease: Lease) -> Pointer | None:
        """The pointer item; when somebody has deleted it, what CURRENT names becomes it again.

        Nothing is lost by that: a run is COMPLETED only after CURRENT names its version, on the directory and in S3.

        Raises:
            PermanentError: SNAPSHOT_CORRUPT.
            RetryableError: LEASE_LOST, SERVICE_UNAVAILABLE.
        """
        pointer = lease.current()
        if pointer is None and (pointer := self.newest_current()) is not None:
            logger.error(
                "the table's pointer is gone; it is what CURRENT names again",
                extra={"collection": self.collection, "version": pointer.version},
            )
            lease.point(pointer)
        return pointer

    def newest_current(self) -> Pointer | None:
        """What CURRENT names, see ``restoring.newest_current``."""
        return newest_current(self.collection, self.environment, self.objects)

    def publish(self, lease: Lease, heartbeat: Heartbeat, copy: WorkingCopy) -> Pointer:
        """Publish the copy; it is closed then. After an error that leaves it sound it is open again.

        Raises:
            RetryableError: as ``Publisher.publish``.
        """
        try:
            return self.publisher.publish(lease, heartbeat, copy)
        except PipelineError as error:
            if error.code not in COPY_LOST:
                copy.reopen()
            raise

    def discard(self) -> None:
        """Give up the working copy; the next merge starts cold."""
        copy, self.copy = self.copy, None
        self.unpublished = {}
        if copy is not None:
            self._revision = copy.revision
            copy.discard()

    def _published_fence(self) -> int:
        newest = self.newest_current()
        return 0 if newest is None else newest.fence

    @property
    def _stamp(self) -> str:
        return self.copy.stamp if self.copy is not None else ""

    def _release(self, lease: Lease) -> None:
        try:
            lease.release(self._stamp, keep_suspects=not self.is_blamed)
        except RetryableError as error:
            # It expires by itself; what broke before is what the caller must hear of.
            logger.warning("the lease was not released", extra={"error_code": error.code})
