"""Gathers a snapshot of a stack, again and again, with few calls. It shows nothing and changes nothing.

What is cheap is read at every look. What takes long - the table, on AWS also the stack's outputs and CloudWatch - is
read beside it, and so seldom that the reading takes at most a small share of the time (``Paced``).

Longer than most modules: every call that a look makes stands here, so that their number can be seen.
"""

import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from botocore.exceptions import ClientError

from one_consumer.live.observer import is_missing_queue
from ops import LOCAL_STACK_NAME
from ops.auditing import DEAD_LETTERS, expected_queues
from ops.local.stack import LocalStack
from ops.local.supervisor import TIMELINE_FILE
from ops.local.timeline import read_recent
from ops.target import Target, connect, local_target
from ops.watching.lanes import (
    METRICS_SECONDS,
    WORKER_LANE,
    functions_of,
    in_order,
    lanes_of,
    measured,
    metric_queries,
    spans_of,
)
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
    oldest_age,
    service_standing,
)
from pipeline.aws import AwsClient
from pipeline.collections.versions import parse_pointer
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.runs.repository import RunRepository
from stack.choice import consumers as embed_consumers

Value = TypeVar("Value")
SHARE = 0.05
"""Of the time, at most, that a slow reading takes."""
METRICS_BACK = timedelta(minutes=5)
FIRST_WAIT = 3.0
"""Seconds that the first look, and one after a pause, waits for a slow reading; others take the last that has ended."""
AGES_OF = 500
"""Messages of one queue, at most, whose ages the emulator is asked for: its answer holds the messages themselves."""
CALLS_AT_ONCE = 8


class Paced(Generic[Value]):
    """A slow reading: made beside what asks for it, at most a ``SHARE`` of the time. Its errors are raised to who asks.

    Args:
        read: the reading.
        least_seconds: between the beginnings of two.
        first: what is known already, so that the first reading can wait.
    """

    def __init__(self, read: Callable[[], Value], *, least_seconds: float = 0.0, first: Value | None = None) -> None:
        self._read, self._least = read, least_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reads-slowly")
        self._running: Future[tuple[Value, float]] | None = None
        self._value = first
        self._due = 0.0 if first is None else time.monotonic() + least_seconds

    def value(self) -> Value | None:
        """The last that was read; None when the first reading still runs.

        Where nobody has asked for a while, the last one is old: then a new one is waited for like the first.
        """
        now, is_old = time.monotonic(), False
        if self._running is None and now >= self._due:
            is_old = now - self._due > FIRST_WAIT
            self._running = self._thread.submit(self._timed, now)
        running = self._running
        if running is not None and wait([running], FIRST_WAIT if is_old or self._value is None else 0).done:
            self._running = None
            self._value, self._due = running.result()
        return self._value

    def close(self) -> None:
        """Begin no further reading. One that runs ends by itself, and the interpreter waits for it when it ends."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _timed(self, begun: float) -> tuple[Value, float]:
        value = self._read()
        took = time.monotonic() - begun
        return value, begun + max(took / SHARE, self._least)


class Watcher:
    """Looks at one stack. A context manager: it keeps a few threads and clients.

    Args:
        target: the stack.
        name: of the stack.
        local: the stack on this machine, when it is that one.
    """

    def __init__(self, target: Target, name: str, *, local: LocalStack | None = None) -> None:
        self._target, self._name, self._local = target, name, local
        self._clients: dict[str, AwsClient] = {}
        self._calls = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="looks")
        self._runs = Paced(self._count_runs)
        self._metrics = Paced(self._read_metrics, least_seconds=METRICS_SECONDS)
        self._outputs = Paced(lambda: connect(name).outputs, least_seconds=METRICS_SECONDS, first=target.outputs)
        self._stopping = threading.Event()
        self._remarks: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        for paced in (self._runs, self._metrics, self._outputs):
            paced.close()
        self._calls.shutdown(wait=False, cancel_futures=True)

    def look(self) -> Snapshot:
        """The stack as it is now.

        Raises:
            OperatorError: STACK_NOT_RUNNING, when the stack on this machine is down.
            ClientError: whatever AWS answers.
        """
        now = datetime.now(UTC)
        outputs, unfinished = self._settings()
        versions = self._calls.map(lambda name: self._version(outputs, name), COLLECTIONS)
        expected = expected_queues(outputs)
        queues = self._calls.map(lambda item: self._queue(item.label, item.url, now), expected)
        hosts = self._calls.submit(self._hosts, outputs)
        spans, functions = self._work(outputs, now)
        runs = self._runs.value()
        return Snapshot(
            at=now,
            stack=self._name,
            chosen=str(outputs["embedConsumer"]),
            unfinished=unfinished,
            queues=tuple(queues),
            hosts=hosts.result(),
            functions=functions,
            versions=tuple(versions),
            runs=runs,
            spans=spans,
            remarks=self._remarks,
        )

    def _settings(self) -> tuple[Mapping[str, Any], str | None]:
        if self._local is not None:
            # Another command may have updated the stack, or stopped it, since the last look.
            current = local_target(self._local)
            return current.outputs, current.unfinished
        return self._outputs.value() or self._target.outputs, None

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
        return QueueNow(
            label=label,
            visible=visible,
            in_flight=in_flight,
            oldest_seconds=self._age(label, url, visible + in_flight, now),
            is_dead_letter=label in DEAD_LETTERS,
        )

    def _age(self, label: str, url: str, messages: int, now: datetime) -> float | None:
        if not messages:
            return None
        if self._local is not None:
            return emulated_age(self._target.client_options["endpoint_url"], url, now) if messages <= AGES_OF else None
        return (self._metrics.value() or {}).get(f"age {label}")

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

    def _work(
        self, outputs: Mapping[str, Any], now: datetime
    ) -> tuple[tuple[Span, ...] | None, tuple[FunctionNow, ...]]:
        if self._local is None:
            return None, self._measured(self._metrics.value() or {})
        processes = self._local.status()
        names = lanes_of(outputs, processes.get("functions", ()))
        alive = {str(number) for numbers in processes.get("services", {}).values() for number in numbers}
        entries = read_recent(self._local.state_directory / TIMELINE_FILE)
        spans = spans_of(entries, now, lanes=names, alive=alive)
        return spans, functions_of(spans, in_order(names), WORKER_LANE)

    def _measured(self, metrics: Mapping[str, float]) -> tuple[FunctionNow, ...]:
        def whole(name: str) -> int | None:
            return None if name not in metrics else round(metrics[name])

        return tuple(
            FunctionNow(label=lane, running=None, recent=whole(f"invocations {lane}"), failed=whole(f"errors {lane}"))
            for lane in in_order(lanes_of(self._target.outputs, ()))
            if lane != WORKER_LANE
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
        # A large table takes minutes, and whoever ends the view has not that much time.
        runs = takewhile(lambda _: not self._stopping.is_set(), repository.all_runs())
        return count_runs(runs, datetime.now(UTC))

    def _read_metrics(self) -> dict[str, float]:
        queries = metric_queries(self._target.outputs)
        now = datetime.now(UTC)
        try:
            answer = self._client("cloudwatch").get_metric_data(
                MetricDataQueries=queries, StartTime=now - METRICS_BACK, EndTime=now, ScanBy="TimestampDescending"
            )
        except ClientError as error:
            # Somebody may have no right to read metrics; the rest of the view needs none.
            self._remarks = (f"ages and invocations are not known: {error}",)
            return {}
        self._remarks = ()
        return measured(answer["MetricDataResults"])


def watch_stack(name: str) -> Watcher:
    """A watcher of the stack of that name.

    Raises:
        OperatorError: what ``ops.target.connect`` raises.
    """
    target = connect(name)
    return Watcher(target, name, local=LocalStack() if name == LOCAL_STACK_NAME else None)


def emulated_age(endpoint: str, queue_url: str, now: datetime) -> float | None:
    """The age of a queue's oldest message, of the emulator, which shows messages without receiving them."""
    query = urllib.parse.urlencode({"QueueUrl": queue_url})
    address = f"{endpoint}/_ministack/sqs/messages?{query}"
    with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - the emulator's own address
        accounts = json.load(answer)["messages"]
    queues = (messages for regions in accounts.values() for found in regions.values() for messages in found.values())
    return oldest_age((message["SentTimestamp"] for messages in queues for message in messages), now)
