"""Gathers a snapshot of a stack, again and again, with few calls. It shows nothing and changes nothing.

What is cheap is read at every look. What takes long - the table, on AWS also the stack's outputs and CloudWatch - is
read beside it (``paced``).

Every call that a look makes is here, or in the ``StackView`` of the kind of stack that is watched.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import takewhile
from types import TracebackType
from typing import Any, Protocol, Self

from botocore.exceptions import ClientError

from one_consumer.live.observer import is_missing_queue
from ops.auditing import DEAD_LETTERS, expected_queues
from ops.target import Target
from ops.watching.paced import Paced
from ops.watching.snapshot import (
    MAPPING_STANDINGS,
    FunctionNow,
    HostNow,
    QueueNow,
    RunCounts,
    Snapshot,
    Span,
    VersionNow,
    count_runs,
    service_standing,
)
from pipeline.aws import AwsClient
from pipeline.collections.versions import parse_pointer
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.runs.repository import RunRepository
from stack.choice import consumers as embed_consumers

CALLS_AT_ONCE = 8


class StackView(Protocol):
    """What is asked of a stack in another way on AWS than on this machine. Implemented in ``ops/stacks``, for both.

    Attributes:
        name: the stack's.
        target: its clients, and its outputs when it was found.
    """

    name: str
    target: Target

    @property
    def remarks(self) -> tuple[str, ...]:
        """What could not be looked at, and why."""
        ...

    def settings(self) -> tuple[Mapping[str, Any], str | None]:
        """The outputs as they are now, and the consumer of an update that has begun and not ended.

        Raises:
            OperatorError: STACK_NOT_RUNNING, when the stack on this machine is down.
        """
        ...

    def oldest_seconds(self, label: str, url: str, messages: int, now: datetime) -> float | None:
        """The age of the oldest message of a queue that is not empty; None when it is not known."""
        ...

    def work(
        self, outputs: Mapping[str, Any], now: datetime
    ) -> tuple[tuple[Span, ...] | None, tuple[FunctionNow, ...]]:
        """Who worked when, None where nothing records it; and how much each function worked."""
        ...

    def close(self) -> None:
        """Let go of what is kept open."""
        ...


class Watcher:
    """Looks at one stack. A context manager: it keeps a few threads and clients.

    Args:
        view: the stack; closed with the watcher.
    """

    def __init__(self, view: StackView) -> None:
        self._view, self._target = view, view.target
        self._clients: dict[str, AwsClient] = {}
        self._calls = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="looks")
        self._runs = Paced(self._count_runs)
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._runs.close()
        self._view.close()
        self._calls.shutdown(wait=False, cancel_futures=True)

    def look(self) -> Snapshot:
        """The stack as it is now.

        Raises:
            OperatorError: STACK_NOT_RUNNING, when the stack on this machine is down.
            ClientError: whatever AWS answers.
        """
        now = datetime.now(UTC)
        outputs, unfinished = self._view.settings()
        versions = self._calls.map(lambda name: self._version(outputs, name), COLLECTIONS)
        expected = expected_queues(outputs)
        queues = self._calls.map(lambda item: self._queue(item.label, item.url, now), expected)
        hosts = self._calls.submit(self._hosts, outputs)
        spans, functions = self._view.work(outputs, now)
        runs = self._runs.value()
        failure = self._runs.failure
        return Snapshot(
            at=now,
            stack=self._view.name,
            chosen=str(outputs["embedConsumer"]),
            unfinished=unfinished,
            queues=tuple(queues),
            hosts=hosts.result(),
            functions=functions,
            versions=tuple(versions),
            runs=runs,
            spans=spans,
            remarks=self._view.remarks + (() if failure is None else (f"runs are of an earlier reading: {failure}",)),
        )

    def _client(self, service: str) -> AwsClient:
        if service not in self._clients:
            self._clients[service] = self._target.client(service)
        return self._clients[service]

    def _queue(self, label: str, url: str, now: datetime) -> QueueNow:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        try:
            attributes = self._target.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        except ClientError as error:
            if not is_missing_queue(error):
                raise
            return QueueNow(label=label, visible=0, in_flight=0, is_missing=True)
        visible, in_flight = (int(attributes[name]) for name in names)
        messages = visible + in_flight
        return QueueNow(
            label=label,
            visible=visible,
            in_flight=in_flight,
            oldest_seconds=self._view.oldest_seconds(label, url, messages, now) if messages else None,
            is_dead_letter=label in DEAD_LETTERS,
        )

    def _hosts(self, outputs: Mapping[str, Any]) -> tuple[HostNow, ...]:
        mapping = self._client("lambda").get_event_source_mapping(UUID=outputs["embedMappingId"])
        (service,) = self._client("ecs").describe_services(
            cluster=outputs["clusterName"], services=[outputs["serviceName"]]
        )["services"]
        desired, running = service["desiredCount"], service.get("runningCount", 0)
        chosen = set(embed_consumers(outputs["embedConsumer"]).values())
        return (
            HostNow(
                kind="lambda",
                name=outputs["embedFunctionName"],
                standing=MAPPING_STANDINGS.get(mapping["State"], "on"),
                is_chosen="lambda" in chosen,
                detail=f"mapping {mapping['State']}",
            ),
            HostNow(
                kind="ecs",
                name=outputs["serviceName"],
                standing=service_standing(desired, running),
                is_chosen="ecs" in chosen,
                detail=f"{running} of {desired} running",
            ),
        )

    def _version(self, outputs: Mapping[str, Any], collection: str) -> VersionNow:
        key = f"{collection}/CURRENT"
        try:
            body = self._target.s3.get_object(Bucket=outputs["vectorsBucket"], Key=key)["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return VersionNow(collection=collection, version=None)
            raise
        pointer = parse_pointer(body.read(), key)
        return VersionNow(
            collection=collection,
            version=pointer.version,
            rows=pointer.count,
            texts=pointer.texts,
            published_at=pointer.published_at,
        )

    def _count_runs(self) -> RunCounts:
        repository = RunRepository(self._target.outputs["tableName"], self._target.dynamodb)
        # A large table takes minutes, and a view must end sooner.
        runs = takewhile(lambda _: not self._stopping.is_set(), repository.all_runs())
        return count_runs(runs, datetime.now(UTC))
