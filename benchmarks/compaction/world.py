"""What a merger needs: a table, a bucket, directories, runs with their deltas. Nothing is measured here.

DynamoDB is ministack, a process of its own; S3 is ``object_server.py``, and says there why. Both are reached by the
real clients. A world can be forked: another world starts from its published version, so that measurements of one size
do not add to each other.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import boto3
from botocore.exceptions import BotoCoreError

from benchmarks.compaction import object_server
from benchmarks.compaction.object_server import LOOPBACK, free_port
from benchmarks.compaction.rows import COLLECTION, MODEL, Receipts
from compaction_handler.environment import MergeEnvironment
from compaction_handler.lease import current_pointer
from compaction_handler.merging import CollectionMerger
from ops.local.children import start_process
from ops.local.emulator import Emulator
from ops.local.provisioners.context import client_options
from pipeline.aws import AwsClient
from pipeline.collections.layout import Pointer, version_path
from pipeline.collections.versions import require_version
from pipeline.contracts.identifiers import CollectionName, run_partition_key, run_sort_key, sha256_hex
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CollectionProgress, CompactionRun, RunState
from pipeline.deltas import write_delta
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository
from tests.world import create_table

REPOSITORY = Path(__file__).resolve().parents[2]
GRACE_OVER = timedelta(hours=1)
"""The mergers' clock is ahead by so much: superseded versions are removed at once, as many as are published."""
LEASE_SECONDS = 120
START_SECONDS = 30.0
RECEIPTS_A_WORLD = 1_000_000


def ahead() -> datetime:
    """The time of the mergers."""
    return datetime.now(UTC) + GRACE_OVER


class Services:
    """DynamoDB and S3 on 127.0.0.1, until the ``with`` block ends; each ends with this process however that ends.

    Args:
        directory: theirs alone.
        bytes_a_second: how fast one connection to the slow S3 is; the other is as fast as this machine.
    """

    def __init__(self, directory: Path, bytes_a_second: float) -> None:
        self._directory, self._bytes_a_second = directory, bytes_a_second
        self._stopping = ExitStack()
        self._emulator = Emulator(directory / "emulator", free_port())
        self.s3 = self.slow_s3 = ""

    def __enter__(self) -> Self:
        with self._stopping:
            self._stopping.callback(self._emulator.stop)
            self._emulator.start()
            self.s3 = self._object_server("objects")
            self.slow_s3 = self._object_server("slow-objects", str(self._bytes_a_second))
            self._stopping = self._stopping.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.close()

    @property
    def dynamodb(self) -> str:
        """The address of DynamoDB."""
        return self._emulator.endpoint

    def _object_server(self, name: str, *speed: str) -> str:
        port = free_port()
        endpoint = f"http://{LOOPBACK}:{port}"
        process = start_process(
            [sys.executable, "-m", object_server.__name__, str(self._directory / name), str(port), *speed],
            os.environ,
            directory=REPOSITORY,
            log_file=self._directory / f"{name}.log",
        )
        self._stopping.callback(_end, process)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                _client("s3", endpoint).head_bucket(Bucket="any")
            except BotoCoreError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            except Exception:  # noqa: BLE001 - it answers, and that is all that is asked
                return endpoint
            else:
                return endpoint


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _client(service: str, endpoint: str) -> AwsClient:
    create: Any = boto3.client
    return create(service, **client_options(endpoint))


@dataclass
class World:
    """One collection, its table and its bucket.

    Attributes:
        directory: of everything in it.
        name: of the table and the bucket.
        dynamodb_endpoint: the address of DynamoDB.
        s3_endpoint: the address of S3.
        dimensions: numbers a vector.
        collection: the one that is merged.
        distinct: no text of its own deltas comes twice; a fork's may repeat those that it started from.
        receipts: where its deltas come from.
    """

    directory: Path
    name: str
    dynamodb_endpoint: str
    s3_endpoint: str
    dimensions: int
    collection: CollectionName = COLLECTION
    distinct: bool = False
    receipts: Receipts = field(init=False)
    dynamodb: AwsClient = field(init=False)
    s3: AwsClient = field(init=False)
    objects: ObjectStore = field(init=False)
    runs: RunRepository = field(init=False)
    _names: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.dynamodb, self.s3 = _client("dynamodb", self.dynamodb_endpoint), _client("s3", self.s3_endpoint)
        self.objects, self.runs = ObjectStore(self.s3), RunRepository(self.name, self.dynamodb)
        self.receipts = Receipts(self.dimensions, collection=self.collection, distinct=self.distinct)

    def create(self) -> Self:
        """Make the table, as the stack makes it, and the bucket."""
        self.s3.create_bucket(Bucket=self.name)
        create_table(self.dynamodb, self.name)
        return self

    @property
    def root(self) -> Path:
        """The directory where versions are published; EFS in production."""
        return self.directory / "collections"

    @property
    def pointer(self) -> Pointer:
        """What is published."""
        pointer = current_pointer(self.name, self.dynamodb, self.collection)
        if pointer is None:
            raise ValueError("nothing was published yet")
        return pointer

    @property
    def version(self) -> Path:
        """The directory of what is published."""
        return require_version(self.root, self.collection, self.pointer)

    def environment(self) -> MergeEnvironment:
        """The merge function's variables."""
        return MergeEnvironment(
            table_name=self.name,
            vectors_bucket=self.name,
            embedding_model=MODEL,
            embedding_dimensions=self.dimensions,
            collections_directory=str(self.root),
            working_directory=str(self.directory / "working"),
            bootstrap_collections=True,
            publish_every_seconds=0,
            lease_seconds=LEASE_SECONDS,
        )

    def merger(self) -> CollectionMerger:
        """A cold merger, as the merge function has it."""
        return CollectionMerger(
            collection=self.collection,
            environment=self.environment(),
            objects=self.objects,
            runs=self.runs,
            dynamodb=self.dynamodb,
            now=ahead,
        )

    def record(self, sizes: Iterable[int]) -> list[RunReference]:
        """Upload a delta of each size and record its run, as stage 2 does."""
        return [self._recorded(rows) for rows in sizes]

    def removal(self, reference: RunReference) -> RunReference:
        """Record that a run's receipt is removed."""
        moment = datetime.now(UTC)
        progress = {
            "words": CollectionProgress(state=RunState.COMPLETED, expected_count=0),
            "lines": CollectionProgress(state=RunState.COMPLETED, expected_count=0),
            self.collection: CollectionProgress(expected_count=0),
        }
        run = CompactionRun(
            words=progress["words"],
            lines=progress["lines"],
            kind="delete",
            image_id=reference.image_id,
            receipt_id=reference.receipt_id,
            run_id=uuid4().hex,
            embedding_model=MODEL,
            dimensions=self.dimensions,
            delta_bucket=self.name,
            merchant_source="none",
            consumer="lambda",
            created_at=moment,
            updated_at=moment,
        )
        self.runs.record(run)
        return run.reference

    def lose_marks(self, references: Iterable[RunReference]) -> None:
        """Put applied runs back to PENDING, as if the merge had been killed before it marked any of them."""
        for reference in references:
            self.dynamodb.update_item(
                TableName=self.name,
                Key={
                    "PK": {"S": run_partition_key(reference.image_id)},
                    "SK": {"S": run_sort_key(reference.receipt_id, reference.run_id)},
                },
                UpdateExpression=f"SET {self.collection}_state = :pending, unfinished_state = :pending",
                ExpressionAttributeValues={":pending": {"S": RunState.PENDING.value}},
            )

    def require_completed(self, references: Sequence[RunReference]) -> None:
        """Fail unless every run is COMPLETED with all its rows: what is fast and wrong is not measured."""
        runs = self.runs.find_all(references)
        reached = [run.progress(self.collection) for run in runs]
        wrong = [
            run.run_id
            for run, progress in zip(runs, reached, strict=True)
            if progress.state is not RunState.COMPLETED or progress.merged_count != progress.expected_count
        ]
        if wrong or len(runs) != len(references):
            raise RuntimeError(f"{len(references)} runs were merged, {len(wrong)} are not COMPLETED: {wrong[:3]}")

    def fork(self, s3_endpoint: str | None = None) -> "World":
        """A world of its own that starts from what is published here; the version's files are shared."""
        name = f"{self.name}-{next(self._names)}"
        forked = World(
            directory=self.directory / name,
            name=name,
            dynamodb_endpoint=self.dynamodb_endpoint,
            s3_endpoint=s3_endpoint or self.s3_endpoint,
            dimensions=self.dimensions,
            collection=self.collection,
            distinct=self.distinct,
        ).create()
        number = self.receipts.number + RECEIPTS_A_WORLD
        forked.receipts = Receipts(self.dimensions, number=number, collection=self.collection, distinct=self.distinct)
        target = version_path(forked.root, self.collection, self.pointer.version)
        shutil.copytree(self.version, target, copy_function=os.link)
        for item in ("LEASE", "CURRENT"):
            key = {"PK": {"S": f"COLLECTION#{self.collection}"}, "SK": {"S": item}}
            kept = self.dynamodb.get_item(TableName=self.name, Key=key)["Item"]
            forked.dynamodb.put_item(TableName=name, Item=kept)
        return forked

    def remove(self) -> None:
        """Remove it all; nobody has anything of it open."""
        shutil.rmtree(self.directory)
        for key, _ in self.objects.modification_times(self.name, ""):
            self.objects.delete(self.name, key)
        self.dynamodb.delete_table(TableName=self.name)

    def _recorded(self, rows: int) -> RunReference:
        delta = self.receipts.delta(rows)
        digest = write_delta(self.objects, self.name, delta)
        merged = CollectionProgress(expected_count=rows, delta_sha256=digest)
        # The other collection is out of the way: a run leaves the index of unfinished runs with this one.
        other = CollectionProgress(state=RunState.COMPLETED, expected_count=0, delta_sha256=sha256_hex(b""))
        moment = datetime.now(UTC)
        run = CompactionRun(
            image_id=delta.image_id,
            receipt_id=delta.receipt_id,
            run_id=delta.run_id,
            embedding_model=MODEL,
            dimensions=self.dimensions,
            delta_bucket=self.name,
            words=merged if self.collection == "words" else other,
            lines=merged if self.collection == "lines" else other,
            merchant_source="given",
            consumer="lambda",
            created_at=moment,
            updated_at=moment,
        )
        self.runs.record(run)
        return run.reference
