"""The merge function: lines and words messages, or a tick, in; what must come back, out. See ``merging.py``."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from compaction_handler.environment import MergeEnvironment
from compaction_handler.health import Health
from compaction_handler.merging import CollectionMerger
from compaction_handler.open_requests import OpenRequests
from compaction_handler.queue_requests import QueueRequests
from compaction_handler.resolving import LateResolution
from pipeline.aws import connect
from pipeline.batches import BatchResponse, SqsRecord, batch_response, group_of, receives_of
from pipeline.contracts.identifiers import COLLECTIONS, CollectionName
from pipeline.contracts.messages import CompactionMessage, RunReference, parse_message
from pipeline.errors import ErrorCode, PermanentError, PipelineError, in_the_tree
from pipeline.logs import configure_logging
from pipeline.metrics import Measure, metric_fields

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 30, 3_600
"""Between two deliveries of a message that failed, doubling: ten deliveries are four hours."""
TICK_SOURCE = "receipts.tick"
REBUILD_SOURCE = "receipts.rebuild"
ALARMED_ELSEWHERE = frozenset({ErrorCode.SNAPSHOT_RECALL})
"""What fails a tick and has a metric of its own (``publishing.py``), so that one fault rings one alarm."""
RESERVE_MILLISECONDS = 180_000
"""Left to a batch that was begun and to its publication: twice what they take at 200,000 rows."""


def delay_seconds(receives: int) -> int:
    """How long a message that failed is hidden, by how often it was received, from 1; pure."""
    return min(FIRST_DELAY_SECONDS * 2 ** (receives - 1), LONGEST_DELAY_SECONDS)


@dataclass(frozen=True, kw_only=True)
class MergeHandler:
    """The function with its adapters; a test passes others."""

    environment: MergeEnvironment
    mergers: dict[CollectionName, CollectionMerger]
    requests: QueueRequests
    open_requests: OpenRequests
    late_resolution: LateResolution | None = None
    health: Health | None = None

    def handle(
        self, event: dict[str, Any], has_time: Callable[[], bool] = lambda: True
    ) -> BatchResponse | dict[str, Any]:
        """Handle an event of the mapping or of the schedule, as far as there is time; the rest comes back.

        ``receipts rebuild`` invokes it too; it gets the pointer of the new version.
        """
        if event.get("source") == TICK_SOURCE:
            return self._tick(has_time)
        if event.get("source") == REBUILD_SOURCE:
            pointer = self.mergers[event["collection"]].rebuild(from_deltas=bool(event.get("from_deltas")))
            return pointer.model_dump(mode="json")
        records: list[SqsRecord] = event["Records"]
        failed: set[str] = set()
        refused: dict[str, PermanentError] = {}
        wanted: dict[CollectionName, dict[str, list[RunReference]]] = {name: {} for name in COLLECTIONS}
        for record in records:
            try:
                message = parse_message(record["body"], CompactionMessage)
                wanted[message.collection][record["messageId"]] = list(message.runs)
            except PermanentError as error:
                refused[record["messageId"]] = error
        for collection, messages in wanted.items():
            if not messages:
                continue
            try:
                runs = [run for runs in messages.values() for run in runs]
                merger = self.mergers[collection]
                left = merger.merge(runs, has_time, partial(merger.more_waits, {run.run_id for run in runs}))
                failed.update(name for name, runs in messages.items() if any(run.run_id in left for run in runs))
            # Also when an operator is needed: the message waits on its queue until the collection is mended.
            except Exception as error:
                reason = in_the_tree(error)
                logger.exception(
                    "merge failed",
                    extra={"collection": collection, "error_code": reason.code, "message_ids": list(messages)},
                )
                failed.update(messages)
        self._park_refused(records, refused, failed)
        answer = batch_response(records, failed)
        self._come_back_soon(records, {item["itemIdentifier"] for item in answer["batchItemFailures"]})
        return answer

    def _come_back_soon(self, records: list[SqsRecord], failed: set[str]) -> None:
        """The queue hides a message for six times the function's timeout, and all of its collection with it."""
        for record in records:
            if record["messageId"] in failed:
                receives = receives_of(record)
                try:
                    self.requests.come_back(
                        _collection_of(record),
                        record["receiptHandle"],
                        delay_seconds(receives),
                        message_id=record["messageId"],
                        receives=receives,
                    )
                # Whatever it is costs only time.
                except Exception:
                    logger.warning("a message comes back only when its queue brings it", exc_info=True)

    def _tick(self, has_time: Callable[[], bool]) -> BatchResponse:
        failure: PipelineError | None = None
        measured: dict[Measure, float] = {}
        try:
            # First: it takes milliseconds, and what follows may take until the function is killed.
            measured[Measure.OLDEST_REQUEST] = self.open_requests.ask_again()
        except Exception as error:
            failure = in_the_tree(error)
            logger.exception("open requests were not asked for again", extra={"error_code": failure.code})
        for merger in self.mergers.values():
            try:
                merger.tick(has_time)
            # Whatever it is, the other collection has its turn; the failure is raised at the end.
            except Exception as error:
                reason = in_the_tree(error)
                if reason.code is ErrorCode.LEASE_HELD:
                    logger.info(
                        "a merge is running; the next tick looks again", extra={"collection": merger.collection}
                    )
                    continue
                logger.exception("tick failed", extra={"collection": merger.collection, "error_code": reason.code})
                if reason.code not in ALARMED_ELSEWHERE:
                    failure = failure or reason
        if self.late_resolution is not None:
            try:
                self.late_resolution.run()
            except Exception as error:
                reason = in_the_tree(error)
                logger.exception("late resolution failed", extra={"error_code": reason.code})
                failure = failure or reason
        failure = self._report(failure, measured)
        if failure is not None:
            # Only now: the other collection has had its turn.
            raise failure
        return {"batchItemFailures": []}

    def _report(self, failure: PipelineError | None, measured: dict[Measure, float]) -> PipelineError | None:
        """Measure and log as metrics what the tick leaves behind; a tick that cannot measure has failed."""
        if self.health is not None:
            try:
                measured |= self.health.measure()
            except Exception as error:
                reason = in_the_tree(error)
                logger.exception("the tick could not measure", extra={"error_code": reason.code})
                failure = failure or reason
        measured[Measure.FAILED_TICKS] = 0 if failure is None else 1
        fields = metric_fields(measured, table=self.environment.table_name, moment=datetime.now(UTC))
        logger.info("tick ended", extra=fields)
        return failure

    def _park_refused(self, records: list[SqsRecord], refused: dict[str, PermanentError], failed: set[str]) -> None:
        """Dead-letter what can never succeed, unless it follows a message of its group that comes back.

        SQS then delivers it again whatever is answered here, and it would be dead-lettered at every delivery.
        """
        for record in records:
            error = refused.get(record["messageId"])
            comes_back = {item["itemIdentifier"] for item in batch_response(records, failed)["batchItemFailures"]}
            if error is None or record["messageId"] in comes_back:
                continue
            try:
                self._park(record, error)
                logger.error("parked: %s", error, extra={"error_code": error.code})
            except Exception as park_error:
                reason = in_the_tree(park_error)
                logger.exception("could not park; the message stays on its queue", extra={"error_code": reason.code})
                failed.add(record["messageId"])

    def _park(self, record: SqsRecord, error: PermanentError) -> None:
        self.requests.dead_letter(
            _collection_of(record),
            record["body"],
            error,
            message_id=record["messageId"],
            receives=receives_of(record),
        )


def _collection_of(record: SqsRecord) -> CollectionName:
    """Of whose queue a record is: the groups of the two queues are the collections."""
    return "words" if group_of(record) == "words" else "lines"


@cache
def _handler() -> MergeHandler:
    from pipeline.collections.database import require_sqlite  # noqa: PLC0415 - imported when the function starts
    from pipeline.collections.reader import SnapshotSource  # noqa: PLC0415 - when the function starts
    from pipeline.objects import ObjectStore  # noqa: PLC0415 - when the function starts
    from pipeline.runs.repository import RunRepository  # noqa: PLC0415 - when the function starts

    configure_logging()
    require_sqlite()
    environment = MergeEnvironment.from_variables(os.environ)
    dynamodb = connect("dynamodb")
    objects = ObjectStore(connect("s3"))
    runs = RunRepository(environment.table_name, dynamodb)
    return MergeHandler(
        environment=environment,
        mergers={
            collection: CollectionMerger(
                collection=collection, environment=environment, objects=objects, runs=runs, dynamodb=dynamodb
            )
            for collection in COLLECTIONS
        },
        health=Health(
            table=environment.table_name, runs=runs, dynamodb=dynamodb, lease_seconds=environment.lease_seconds
        ),
        requests=QueueRequests(table_name=environment.table_name, dynamodb=dynamodb),
        open_requests=OpenRequests(table_name=environment.table_name, dynamodb=dynamodb),
        late_resolution=LateResolution(
            source=SnapshotSource.from_directory(
                "lines",
                collections_directory=Path(environment.collections_directory),
                private_directory=Path(environment.working_directory),
            ),
            runs=runs,
        ),
    )


def merge(event: dict[str, Any], context: object) -> BatchResponse | dict[str, Any]:
    """Lambda's entry point: an SQS event of compaction messages, the schedule's tick, or ``receipts rebuild``."""
    return _handler().handle(event, time_keeper(getattr(context, "get_remaining_time_in_millis", None)))


def time_keeper(remaining: Callable[[], int] | None) -> Callable[[], bool]:
    """Whether another batch may be begun: enough of the function's time is left to end it and to publish.

    Args:
        remaining: milliseconds until the function is killed; None where nothing kills it.
    """
    if remaining is None:
        return lambda: True
    reserve = min(RESERVE_MILLISECONDS, remaining() // 2)
    return lambda: remaining() > reserve
