"""Publishing a working copy as a new version; a kill between any two steps leaves a whole version current.

1. The copy is closed, so that its files are at rest.
2. Side by side: it is copied to the collections directory and fsynced; every file that is copied goes to S3 by its
   digest; a child process checks it.
3. When the copy is sound and in both places it is renamed to its version, and the manifest goes to S3: only now the
   version is whole there.
4. The pointer item moves, if the lease and its fence still stand. This is the moment of publication.
5. CURRENT follows, on the directory and in S3, never backwards.
6. Versions whose grace is over are removed.

S3 comes before the pointer: a run is COMPLETED only when its rows are in two places, and an empty directory can
always be restored to what the pointer names. The price is an upload before readers see the version; orphans are
removed by step 6.
"""

import errno
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from compaction_handler.checking import ChildCheck, Inspection
from compaction_handler.environment import MergeEnvironment
from compaction_handler.lease import Heartbeat, Lease
from compaction_handler.working_copy import WorkingCopy
from pipeline.collections.layout import (
    MANIFEST_NAME,
    Pointer,
    replaced_by_next,
    version_key,
    version_name,
    version_path,
)
from pipeline.collections.store import (
    copy_version,
    delete_expired,
    remove_expired,
    upload_version,
    write_current,
    write_current_object,
)
from pipeline.contracts.identifiers import CollectionName
from pipeline.errors import ErrorCode, PipelineError, RetryableError
from pipeline.objects import ObjectStore

logger = logging.getLogger(__name__)

THREADS = 4
"""The check's and three uploads; a version has one large file, one of a fifth of it, and small ones."""


class Check(Protocol):
    """Judges closed copies; ``ChildCheck`` in production."""

    @property
    def ready(self) -> bool:
        """Whether it can judge another copy; else another one is started."""
        ...

    def run(self, inspection: Inspection) -> None:
        """Raise SNAPSHOT_UNSOUND, or return."""
        ...

    def close(self) -> None:
        """Give up."""
        ...


@dataclass
class Publisher:
    """Publishes one collection.

    Attributes:
        start_check: starts what judges the copies; called before the copy is ready, because that takes a while.
    """

    collection: CollectionName
    environment: MergeEnvironment
    objects: ObjectStore
    now: Callable[[], datetime]
    start_check: Callable[[], Check] = ChildCheck
    _check: Check | None = None

    @property
    def root(self) -> Path:
        """The collections directory."""
        return Path(self.environment.collections_directory)

    def prepare(self) -> None:
        """Start the check's process beside the merge, unless the last one is still there."""
        if self._check is None or not self._check.ready:
            self._check = self.start_check()

    def abandon(self) -> None:
        """End the check's process."""
        if self._check is not None:
            self._check.close()
            self._check = None

    def publish(self, lease: Lease, heartbeat: Heartbeat, copy: WorkingCopy, newest: tuple[str, ...]) -> Pointer:
        """Publish a working copy; it is open again afterwards, whatever happened.

        Args:
            lease: held.
            heartbeat: of the lease.
            copy: open, nothing pending.
            newest: ids of the rows that were written since the last publication, or some of them.

        Raises:
            RetryableError: SNAPSHOT_UNSOUND, STORAGE_FULL, LEASE_LOST, SERVICE_UNAVAILABLE. Nothing was published,
                unless DynamoDB took the pointer and its answer was lost; the next publication is then newer.
        """
        previous = lease.current()
        version = version_name(lease.fence, lease.owner, copy.revision)
        count = copy.count
        inspection = Inspection(
            collection=self.collection,
            directory=str(copy.directory),
            private_directory=self.environment.working_directory,
            count=count,
            dimensions=self.environment.embedding_dimensions,
            newest=newest,
        )
        heartbeat.require()
        self.prepare()
        copy.close()
        try:
            digests = self._published_files(copy, version, inspection)
        finally:
            copy.reopen()
        heartbeat.require()
        directory, manifest = version_path(self.root, self.collection, version), {MANIFEST_NAME: digests[MANIFEST_NAME]}
        upload_version(self.objects, self.environment.vectors_bucket, self.collection, directory, manifest)
        pointer = Pointer(
            version=version,
            fence=lease.fence,
            count=count,
            model=self.environment.embedding_model,
            dimensions=self.environment.embedding_dimensions,
            digest=digests[MANIFEST_NAME],
            published_at=self.now(),
            replaced=replaced_by_next(previous, self.now()),
        )
        lease.point(pointer)
        self.follow(pointer)
        self._tidy(pointer)
        logger.info("published", extra={"collection": self.collection, "version": version, "vectors": count})
        return pointer

    def follow(self, pointer: Pointer) -> None:
        """Bring both CURRENTs up to the pointer item; after a kill they may lag."""
        write_current(self.root, self.collection, pointer)
        write_current_object(self.objects, self.environment.vectors_bucket, self.collection, pointer)

    def _published_files(self, copy: WorkingCopy, version: str, inspection: Inspection) -> dict[str, str]:
        """Copy, check and upload all but the manifest; the working copy is opened as soon as nobody reads its files."""
        check = self._check
        if check is None:
            raise ValueError("a publication is prepared first")
        with ThreadPoolExecutor(THREADS) as beside:
            judged = beside.submit(check.run, inspection)
            uploads: list[Future[None]] = []

            def upload(name: str, path: Path, digest: str) -> None:
                key = version_key(self.collection, version, name)
                bucket = self.environment.vectors_bucket
                uploads.append(beside.submit(self.objects.put_file, bucket, key, path, digest))

            def require_sound_and_uploaded() -> None:
                judged.result()
                copy.reopen()
                copy.warm_up()
                for uploaded in uploads:
                    uploaded.result()

            try:
                return copy_version(
                    copy.directory, self.root, self.collection, version, require_sound_and_uploaded, copied=upload
                )
            except OSError as error:
                raise storage_error(error, str(self.root)) from error
            finally:
                beside.shutdown(cancel_futures=True)

    def _tidy(self, pointer: Pointer) -> None:
        """Remove what is expired; what fails is tried again after the next publication, and this one stands."""
        moment, removed = self.now(), []
        try:
            removed += remove_expired(self.root, self.collection, pointer, moment)
            removed += delete_expired(self.objects, self.environment.vectors_bucket, self.collection, pointer, moment)
        except (PipelineError, OSError):
            logger.exception("old versions were not all removed", extra={"collection": self.collection})
        if removed:
            logger.info("removed versions", extra={"collection": self.collection, "versions": removed})


def storage_error(error: OSError, place: str) -> RetryableError:
    """The error of a disk that refused a write; a full one is the usual reason."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return RetryableError(
        ErrorCode.STORAGE_FULL if full else ErrorCode.SERVICE_UNAVAILABLE,
        value=f"{place}: {error}",
        rule="a version is written whole or not at all",
        way_out="nothing was published; enlarge the file system or remove what does not belong there"
        if full
        else "the message is delivered again; look at the file system when it keeps failing",
    )
