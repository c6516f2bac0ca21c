"""The world of stage 3: directories and mergers, with a real Chroma; AWS is moto, in this process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from compaction_handler.environment import MergeEnvironment, StreamProcessorEnvironment
from compaction_handler.handler import MergeHandler
from compaction_handler.health import Health
from compaction_handler.merging import CollectionMerger
from compaction_handler.open_requests import OpenRequests
from compaction_handler.queue_requests import QueueRequests, is_request
from compaction_handler.soundness import Inspection, judge_where_there_is_room, require_sound
from compaction_handler.stream_processor import process_records
from pipeline.collections.reader import SnapshotSource
from pipeline.contracts.delta import make_delta
from pipeline.contracts.identifiers import (
    COLLECTIONS,
    CollectionName,
    delta_key,
    line_vector_id,
    run_partition_key,
    run_sort_key,
    sha256_hex,
)
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CollectionProgress, CompactionRun, RunState
from pipeline.deltas import write_delta
from tests.stages.recording_queue import RecordingQueues
from tests.world import BUCKET, TABLE, World

MODEL, DIMENSIONS = "counting", 4
START = datetime(2026, 1, 2, tzinfo=UTC)


class Killed(BaseException):
    """No code catches it: what follows is as after a kill, but for the lease."""


class CheckInProcess:
    """The child's check without the child; that there is one is tested in ``test_checking.py``."""

    ready = True

    def expect(self, size: int) -> None:
        pass

    def run(self, inspection: Inspection) -> tuple[int, ...]:
        verdict = judge_where_there_is_room(inspection)
        require_sound(inspection, verdict)
        return verdict.missed

    def close(self) -> None:
        pass


STREAM_ENVIRONMENT = StreamProcessorEnvironment(
    table_name=TABLE,
    lines_queue_url="lines-queue",
    words_queue_url="words-queue",
    stream_failure_queue_url="failures",
    lines_dead_letter_queue_url="lines-dlq",
    words_dead_letter_queue_url="words-dlq",
)


@dataclass(kw_only=True)
class MergeWorld(World):
    """A world with a directory of published collections, and the processes that merge into it.

    Attributes:
        path: of this test alone.
        moment: the clock of every merger.
        processes: how many were started, readers included.
        settings: what differs from the usual environment.
        started: the handlers that `close` ends.
    """

    path: Path
    moment: datetime = START
    processes: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    started: list[MergeHandler] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return Path(self.settings.get("collections_directory", self.path / "collections"))

    def environment(self) -> MergeEnvironment:
        self.processes += 1
        return MergeEnvironment.model_validate(
            {
                "table_name": TABLE,
                "vectors_bucket": BUCKET,
                "embedding_model": MODEL,
                "embedding_dimensions": DIMENSIONS,
                "collections_directory": str(self.root),
                "working_directory": str(self.path / f"work-{self.processes}"),
                "bootstrap_collections": True,
                "publish_every_seconds": 0,
                "lease_seconds": 60,
            }
            | self.settings
        )

    def process(self) -> MergeHandler:
        """A cold start: nothing is warm and the local disk is another."""
        environment = self.environment()
        handler = MergeHandler(
            environment=environment,
            mergers={
                name: CollectionMerger(
                    collection=name,
                    environment=environment,
                    objects=self.objects,
                    runs=self.runs,
                    dynamodb=self.dynamodb,
                    now=lambda: self.moment,
                    start_check=CheckInProcess,
                )
                for name in COLLECTIONS
            },
            health=Health(
                table=TABLE,
                runs=self.runs,
                dynamodb=self.dynamodb,
                lease_seconds=environment.lease_seconds,
                now=lambda: self.moment,
            ),
            requests=QueueRequests(table_name=TABLE, dynamodb=self.dynamodb, now=lambda: self.moment),
            open_requests=self.open_requests,
        )
        self.started.append(handler)
        return handler

    @property
    def open_requests(self) -> OpenRequests:
        return OpenRequests(table_name=TABLE, dynamodb=self.dynamodb, now=lambda: self.moment)

    def request_items(self) -> list[dict[str, Any]]:
        """The requests to SQS that are open."""
        return [item for item in self.dynamodb.scan(TableName=TABLE, ConsistentRead=True)["Items"] if is_request(item)]

    def perform_requests(self) -> RecordingQueues:
        """Have the stream processor perform what is open; what it did is what is returned."""
        queues = RecordingQueues()
        assert self.announce(queues, *self.request_items()) == {"batchItemFailures": []}
        assert self.request_items() == []
        return queues

    def announce(self, queues: RecordingQueues, *items: dict[str, Any]) -> dict[str, Any]:
        """Give the stream processor items of the table, as the stream does; its answer."""
        records = [
            {"dynamodb": {"SequenceNumber": str(number), "NewImage": item}} for number, item in enumerate(items, 1)
        ]
        return process_records(
            records, environment=STREAM_ENVIRONMENT, sqs_client=queues, open_requests=self.open_requests
        )

    def close(self) -> None:
        """End the processes that a test has left behind: a cold start closes no file of the one before."""
        for handler in self.started:
            for merger in handler.mergers.values():
                merger.close()
        super().close()

    def merger(self) -> CollectionMerger:
        return self.process().mergers["lines"]

    def run(self, number: int, rows: int = 2, **fields: Any) -> RunReference:
        """Upload the deltas of one receipt and record its run, as stage 2 does; once, however often it is called."""
        return self.operation("upsert", number, rows=rows, run_id=sha256_hex(str(number).encode())[:32], **fields)

    def operation(
        self,
        kind: str,
        number: int,
        rows: int = 2,
        *,
        run_id: str | None = None,
        expected: int | None = None,
        model: str = MODEL,
        dimensions: int = DIMENSIONS,
        metadata: Any = None,
        texts: Sequence[str] | None = None,
        **fields: Any,
    ) -> RunReference:
        """Record one operation on the receipt of image ``number``; an upsert with its deltas."""
        image, identifier = UUID(int=number), run_id or uuid4().hex
        progress = dict.fromkeys(COLLECTIONS, CollectionProgress(expected_count=0))
        for collection in COLLECTIONS if kind == "upsert" and "delta_run_id" not in fields else ():
            delta = make_delta(
                collection=collection,
                run_id=identifier,
                image_id=image,
                receipt_id=1,
                model=model,
                rows=[
                    (
                        row_id(number, row),
                        f"text {row}" if texts is None else texts[row],
                        {"image_id": str(image), "receipt_id": 1, "run_id": identifier}
                        if metadata is None
                        else metadata,
                    )
                    for row in range(rows)
                ],
                vectors=np.array(
                    [[1 + number, 1 + row, *[1] * (dimensions - 2)] for row in range(rows)], dtype=np.float32
                ).reshape(rows, dimensions),
            )
            digest = write_delta(self.objects, BUCKET, delta)
            progress[collection] = CollectionProgress(
                expected_count=rows if expected is None else expected, delta_sha256=digest
            )
        run = CompactionRun.model_validate(
            {
                "image_id": image,
                "receipt_id": 1,
                "run_id": identifier,
                "kind": kind,
                "embedding_model": model,
                "dimensions": dimensions,
                "delta_bucket": BUCKET,
                **progress,
                "merchant_source": "none",
                "consumer": "lambda",
                "created_at": START,
                "updated_at": START,
            }
            | fields
        )
        self.runs.record(run)
        return run.reference

    def delta_key(self, reference: RunReference, collection: CollectionName = "lines") -> str:
        """The key of the delta that a run records."""
        run = self.runs.find(reference)
        assert run is not None
        return delta_key(collection, run.run_id, run.progress(collection).delta_sha256 or "")

    def lines(self, reference: RunReference) -> CollectionProgress:
        run = self.runs.find(reference)
        assert run is not None
        return run.lines

    def states(self, *references: RunReference) -> list[RunState]:
        return [self.lines(reference).state for reference in references]

    def readers(self, collection: CollectionName = "lines") -> list[list[str]]:
        """The ids that a reader of the directory and one of S3 find."""
        self.processes += 1
        private = self.path / f"reader-{self.processes}"
        found = []
        for source in (
            SnapshotSource.from_directory(
                collection, collections_directory=self.root, private_directory=private / "directory"
            ),
            SnapshotSource.from_bucket(collection, s3_client=self.s3, bucket=BUCKET, private_directory=private / "s3"),
        ):
            published = source.refresh()
            rows = [] if published is None else published.query(np.ones((1, DIMENSIONS)), limit=999)[0]
            assert published is None or published.count == len(rows)
            found.append(sorted(row.id for row in rows))
            source.close()
        return found


def spoil(world: MergeWorld, reference: RunReference, **fields: str) -> None:
    """Change fields of a run's item to what no release would write."""
    for name, value in fields.items():
        world.dynamodb.update_item(
            TableName=TABLE,
            Key={
                "PK": {"S": run_partition_key(reference.image_id)},
                "SK": {"S": run_sort_key(reference.receipt_id, reference.run_id)},
            },
            UpdateExpression="SET #name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": {"S": value}},
        )


def row_id(number: int, row: int) -> str:
    return line_vector_id(UUID(int=number), 1, row + 1)


def ids(*numbers: int) -> list[str]:
    return [row_id(number, row) for number in numbers for row in range(2)]
