"""One moment of a stack, as the live view shows it: types, and how what was seen becomes them. Pure.

``gathering.py`` looks; ``terminal.py`` and the local page show. Times are UTC; ages and lengths are in seconds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from ops.reporting import states_of, was_embedded
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.run import CompactionRun

TIMELINE_SECONDS = 120
"""How far back the timeline goes."""
RECENT_RUNS = 10
ERRORS_SHOWN = 5

HostKind = Literal["lambda", "ecs"]
Standing = Literal["on", "starting", "stopping", "off"]
MAPPING_STANDINGS: Mapping[str, Standing] = {
    "Creating": "starting",
    "Enabling": "starting",
    "Enabled": "on",
    "Updating": "on",
    "Disabling": "stopping",
    "Disabled": "off",
    "Deleting": "stopping",
}
"""By the states of AWS Lambda's API reference, GetEventSourceMapping."""


@dataclass(frozen=True, kw_only=True)
class QueueNow:
    """One queue.

    Attributes:
        oldest_seconds: age of the oldest message; None when it is empty or the age is not known.
        is_dead_letter: nobody consumes it; a message in it needs a person.
        is_missing: SQS does not know it: an update that leaves ``hybrid`` has not ended.
    """

    label: str
    visible: int
    in_flight: int
    oldest_seconds: float | None = None
    is_dead_letter: bool = False
    is_missing: bool = False


@dataclass(frozen=True, kw_only=True)
class HostNow:
    """One of the two possible consumers of the embed queue.

    Attributes:
        is_chosen: the stack's settings choose it.
        detail: what AWS says of it.
    """

    kind: HostKind
    name: str
    standing: Standing
    is_chosen: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class FunctionNow:
    """One function, or the worker.

    Attributes:
        running: invocations, or workers, that run right now; None where it is not known.
        recent: invocations of the last ``TIMELINE_SECONDS``, on AWS of the last five minutes; None for a worker.
        failed: of these; None where it is not known.
    """

    label: str
    running: int | None
    recent: int | None
    failed: int | None = None


@dataclass(frozen=True, kw_only=True)
class VersionNow:
    """What is published of a collection; ``version`` is None before the first publication."""

    collection: str
    version: str | None
    rows: int = 0
    texts: int = 0
    published_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RunNow:
    """One of the latest operations on receipts."""

    image_id: str
    receipt_id: int
    kind: str
    consumer: str
    merchant_name: str | None
    lines: str
    words: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class RunCounts:
    """The table's runs.

    Attributes:
        by_state: collection and state to how many.
        by_consumer: who embedded to how many.
        recent: the latest, newest first.
        errors: of failed runs, newest first, each with the receipt it is of.
        counted_at: when the table was read; a large table is read less often than the screen is drawn.
    """

    by_state: Mapping[str, int]
    by_consumer: Mapping[str, int]
    recent: tuple[RunNow, ...]
    errors: tuple[str, ...]
    counted_at: datetime


@dataclass(frozen=True, kw_only=True)
class Span:
    """One stretch of work.

    Attributes:
        lane: who worked.
        started, ended: seconds before the snapshot; ``ended`` is 0 for what still runs.
    """

    lane: str
    started: float
    ended: float
    is_running: bool


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of a stack.

    Attributes:
        chosen: the setting ``receipts:embedConsumer`` of the last update that ended.
        unfinished: the choice of an update that has begun and not ended: a switch that is under way, or that failed.
        runs: None while they have not been counted for the first time.
        spans: who worked when; None where nothing records it (on AWS).
        remarks: what could not be looked at, and why.
    """

    at: datetime
    stack: str
    chosen: str
    unfinished: str | None
    queues: tuple[QueueNow, ...]
    hosts: tuple[HostNow, ...]
    functions: tuple[FunctionNow, ...]
    versions: tuple[VersionNow, ...]
    runs: RunCounts | None
    spans: tuple[Span, ...] | None
    remarks: tuple[str, ...] = ()

    @property
    def on(self) -> tuple[HostNow, ...]:
        """The consumers that may receive."""
        return tuple(host for host in self.hosts if host.standing != "off")

    def queue(self, label: str) -> QueueNow | None:
        """A queue by its label."""
        return next((queue for queue in self.queues if queue.label == label), None)


def as_document(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot for programs; its times become ISO 8601."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat(timespec="milliseconds")
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    return plain(asdict(snapshot))


def service_standing(desired: int, running: int) -> Standing:
    """What a service with these counts is."""
    if desired:
        return "on" if running else "starting"
    return "stopping" if running else "off"


def count_runs(runs: Iterable[CompactionRun], now: datetime) -> RunCounts:
    """Count the table's runs, in one pass and with bounded memory.

    Args:
        runs: in any order.
        now: when they were read.
    """
    states: Counter[str] = Counter()
    consumers: Counter[str] = Counter()
    recent: list[CompactionRun] = []
    failed: list[CompactionRun] = []
    for run in runs:
        states.update(states_of(run))
        if was_embedded(run):
            consumers[run.consumer] += 1
        recent = _latest([*recent, run], RECENT_RUNS)
        if run.has_failed:
            failed = _latest([*failed, run], ERRORS_SHOWN)
    return RunCounts(
        by_state=dict(sorted(states.items())),
        by_consumer=dict(sorted(consumers.items())),
        recent=tuple(_run_now(run) for run in recent),
        errors=tuple(error for run in failed for error in _errors(run))[:ERRORS_SHOWN],
        counted_at=now,
    )


def _latest(runs: list[CompactionRun], count: int) -> list[CompactionRun]:
    return sorted(runs, key=lambda run: run.created_at, reverse=True)[:count]


def _run_now(run: CompactionRun) -> RunNow:
    lines, words = (run.progress(collection) for collection in COLLECTIONS)
    return RunNow(
        image_id=str(run.image_id),
        receipt_id=run.receipt_id,
        kind=run.kind,
        consumer=run.consumer,
        merchant_name=run.merchant_name,
        lines=lines.state.value,
        words=words.state.value,
        created_at=run.created_at,
    )


def _errors(run: CompactionRun) -> list[str]:
    return [
        f"receipt {run.receipt_id} of image {run.image_id}, {collection}: {progress.error}"
        for collection in COLLECTIONS
        if (progress := run.progress(collection)).error
    ]


def oldest_age(sent_at: Iterable[float], now: datetime) -> float | None:
    """The age of the oldest of these messages, by when they were sent (since the epoch); None when there is none."""
    oldest = min(sent_at, default=None)
    return None if oldest is None else max(now.timestamp() - oldest, 0.0)
