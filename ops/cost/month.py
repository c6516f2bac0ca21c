"""The month of a stack: what is billed, how much of it, at which price. Pure.

Prices are list prices without free tiers. What a collection grows by within the month is left out: it is priced
at the size that is given. With stage 0 every receipt, stored ones included, is priced as a picture of one page.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ops.cost.prices import HOURS_A_MONTH, PRICES, SECONDS_A_MONTH
from ops.cost.stack import PricedStack
from ops.scale import work
from ops.scale.scenario import COLLECTIONS, Outcome

GB = 1e9
POLLERS = 5
"""Of a mapping that waits: with a maximum concurrency set Lambda keeps five (AWS Lambda developer guide,
services-sqs-scaling). The page says it of standard queues; of FIFO queues it says nothing, so this is the most."""
LONG_POLL_SECONDS = 20
WORKER_POLL_SECONDS = 5
"""As ``compaction_worker/intake.py`` has it."""
TICK_SECONDS = 0.5
"""Assumed; a tick keeps the function warm."""
TICK_READS = 5
"""A collection, assumed: three queries of runs, one of requests to SQS, and one read of its pointer."""
WAITING_SECONDS = 0.2
"""Assumed: one call to SQS."""
SPOT_SHARE = 0.3
"""Of a task's price when it runs on spare capacity: it "saves 70%" (wring.co/blog/aws-fargate-pricing-guide, 2026)."""
IMAGE_GB = 1.0
"""Assumed, of the compressed image and its predecessors' layers."""
VERSION_FILES = 10
PART_BYTES = 8 * 1024 * 1024
"""Of an upload (docs/contracts.md, ``MANIFEST.json``)."""
SEARCHED_SHARE = 0.5
"""Of a version that the worker reads from EFS: rows and vectors without the index."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the month.

    Attributes:
        group: what kind of cost.
        price: its key in ``PRICES``.
    """

    group: str
    what: str
    quantity: float
    price: str

    @property
    def dollars(self) -> float:
        """A month."""
        return self.quantity * PRICES[self.price].dollars


@dataclass(frozen=True, kw_only=True)
class Load:
    """What happens, a month.

    Attributes:
        receipts: that arrive in the month.
        stored: that the collections hold.
        invocations: for each receipt, by function (``embed``, ``stream``, ``upload``); one that is missing has none.
        busy_seconds: for each receipt, by function (the same and ``merge``).
        publications: a month, of one collection.
        task_hours: of the worker, a month.
    """

    receipts: float
    stored: float
    invocations: Mapping[str, float] = field(default_factory=dict)
    busy_seconds: Mapping[str, float] = field(default_factory=dict)
    publications: float = 0.0
    task_hours: float = 0.0

    def calls(self, function: str) -> float:
        """Invocations of a function in the month."""
        return self.invocations.get(function, 0.0) * self.receipts


def load_of(outcome: Outcome, *, simulated: int, seconds: float, stored: float) -> Load:
    """A month like the simulated time, of so many receipts in so many seconds."""
    months = SECONDS_A_MONTH / seconds
    return Load(
        receipts=simulated * months,
        stored=stored,
        invocations={name: count / simulated for name, count in outcome.invocations.items()},
        busy_seconds={name: busy / simulated for name, busy in outcome.busy_seconds.items()},
        publications=max(outcome.publications.values(), default=0) * months,
        task_hours=min(outcome.task_seconds / seconds, outcome.most_tasks) * HOURS_A_MONTH,
    )


def idle(stored: float) -> Load:
    """A month without a receipt."""
    return Load(receipts=0, stored=stored)


def month(stack: PricedStack, load: Load) -> list[Line]:
    """Every line that is not zero."""
    lines = [
        *_compute(stack, load),
        *_network(stack, load),
        *_queues(stack, load),
        *_table(stack, load),
        *_objects(stack, load),
        *_files(stack, load),
        *_rest(stack, load),
    ]
    return [line for line in lines if line.quantity]


def total(lines: list[Line], *groups: str) -> float:
    """Dollars of all lines, or of those of some groups."""
    return sum(line.dollars for line in lines if not groups or line.group in groups)


def _compute(stack: PricedStack, load: Load) -> Iterator[Line]:
    ticks = HOURS_A_MONTH * 60 / stack.tick_minutes
    for name, size in stack.functions.items():
        busy = load.busy_seconds.get(name, 0.0) * load.receipts + (ticks * TICK_SECONDS if name == "merge" else 0.0)
        yield Line(group="compute", what=f"{name} function", quantity=busy * size.memory_gb, price="function compute")
        yield Line(
            group="compute", what=f"{name} function, disk", quantity=busy * size.paid_disk_gb, price="function disk"
        )
    # Each batch of the stream sends a message for each collection, and each of these invokes the merge.
    calls = sum(load.calls(name) for name in ("embed", "stream", "upload")) + len(COLLECTIONS) * load.calls("stream")
    if stack.pictures is not None:
        busy = work.PICTURE_SECONDS * load.receipts * stack.pictures.memory_gb
        yield Line(group="compute", what="pictures function", quantity=busy, price="function compute")
        calls += load.receipts
    yield Line(group="compute", what="invocations", quantity=calls + ticks, price="function call")
    yield Line(group="compute", what="tick", quantity=ticks, price="schedule")
    if stack.waiting is not None:
        calls = HOURS_A_MONTH * 60 / stack.waiting_minutes
        busy = calls * WAITING_SECONDS * stack.waiting.memory_gb
        yield Line(group="compute", what="waiting function", quantity=busy, price="function compute")
        yield Line(group="compute", what="waiting function, calls", quantity=calls, price="function call")
        yield Line(group="compute", what="waiting function, schedule", quantity=calls, price="schedule")
    task = stack.task
    paid = load.task_hours * (SPOT_SHARE if task.is_spot else 1)
    yield Line(group="compute", what="worker, processors", quantity=paid * task.vcpu, price="task processor")
    yield Line(group="compute", what="worker, memory", quantity=paid * task.memory_gb, price="task memory")


def _network(stack: PricedStack, load: Load) -> Iterator[Line]:
    yield Line(
        group="network",
        what="interface endpoints",
        quantity=stack.endpoint_zones * HOURS_A_MONTH,
        price="interface endpoint",
    )
    yield Line(group="network", what="NAT", quantity=stack.nat_gateways * HOURS_A_MONTH, price="NAT gateway")
    addresses = load.task_hours if stack.task.has_public_address else 0.0
    yield Line(group="network", what="worker, addresses", quantity=addresses, price="public address")


def _queues(stack: PricedStack, load: Load) -> Iterator[Line]:
    polls = POLLERS * SECONDS_A_MONTH / LONG_POLL_SECONDS
    for is_fifo, price in ((False, "standard queue request"), (True, "FIFO queue request")):
        mappings = [mapping for mapping in stack.mappings if mapping.is_fifo is is_fifo]
        yield Line(group="queues", what=f"{len(mappings)} mappings wait", quantity=len(mappings) * polls, price=price)
    worker = load.task_hours * 3_600 / WORKER_POLL_SECONDS
    yield Line(group="queues", what="worker waits", quantity=worker, price="FIFO queue request")
    yield Line(group="queues", what="OCR results", quantity=2 * load.calls("upload"), price="standard queue request")
    # Sent by S3; each is received and deleted alone.
    pictures = 2 * load.receipts if stack.pictures is not None else 0.0
    yield Line(group="queues", what="pictures", quantity=pictures, price="standard queue request")
    # Sent alone, received and deleted in batches.
    embed = (1 + 2 * (load.invocations.get("embed") or 0.1)) * load.receipts
    merge = 3 * len(COLLECTIONS) * load.calls("stream")
    yield Line(group="queues", what="receipts and merges", quantity=embed + merge, price="FIFO queue request")


def _table(stack: PricedStack, load: Load) -> Iterator[Line]:
    yield Line(group="table", what="writes", quantity=work.TABLE_WRITES * load.receipts, price="table write")
    ticks = HOURS_A_MONTH * 60 / stack.tick_minutes
    reads = work.TABLE_READS * load.receipts + ticks * TICK_READS * len(COLLECTIONS)
    yield Line(group="table", what="reads", quantity=reads, price="table read")
    stored = work.RUN_BYTES * (load.stored + load.receipts / 2) / GB
    yield Line(group="table", what="runs and their index", quantity=2 * stored, price="table storage")
    yield Line(group="table", what="point-in-time recovery", quantity=stored, price="table recovery")


def _objects(stack: PricedStack, load: Load) -> Iterator[Line]:
    versions = _versions(stack, load)
    daily = load.publications / 30
    # Deleted versions go at the midnight after their days.
    old = daily * (stack.old_version_days + 0.5) * versions / GB
    yield Line(group="objects", what="current versions", quantity=versions / GB, price="object storage")
    yield Line(group="objects", what="replaced versions", quantity=old, price="object storage")
    a_day = load.receipts / 30
    deltas = a_day * stack.delta_days * work.delta_bytes(stack.dimensions) / GB
    yield Line(group="objects", what=f"deltas of {stack.delta_days} days", quantity=deltas, price="object storage")
    documents = 2 * work.OCR_BYTES * (load.stored + load.receipts / 2) / GB
    yield Line(group="objects", what="OCR results and artifacts", quantity=documents, price="object storage")
    parts = len(COLLECTIONS) * VERSION_FILES + versions / PART_BYTES
    yield Line(
        group="objects",
        what="writes",
        quantity=work.OBJECTS_WRITTEN * load.receipts + parts * load.publications,
        price="object write",
    )
    yield Line(group="objects", what="reads", quantity=work.OBJECTS_READ * load.receipts, price="object read")
    if stack.pictures is not None:
        kept = work.PICTURE_BYTES * (load.stored + load.receipts / 2) / GB
        yield Line(group="objects", what="pictures", quantity=kept, price="object storage")
        written, read = (calls * load.receipts for calls in (work.PICTURES_WRITTEN, work.PICTURES_READ))
        yield Line(group="objects", what="pictures, writes", quantity=written, price="object write")
        yield Line(group="objects", what="pictures, reads", quantity=read, price="object read")


def _files(stack: PricedStack, load: Load) -> Iterator[Line]:
    versions = _versions(stack, load)
    kept = 1 + (stack.versions_kept_seconds / max(stack.publish_every_seconds, 60) if load.publications else 0)
    yield Line(group="files", what="versions", quantity=versions * kept / GB, price="file storage")
    if stack.has_elastic_throughput:
        yield Line(
            group="files", what="publications", quantity=versions * load.publications / GB, price="file write"
        )  # fmt: skip
        tasks = load.task_hours / HOURS_A_MONTH
        lines = work.version_bytes("lines", load.stored, stack.dimensions) * SEARCHED_SHARE
        yield Line(
            group="files", what="worker reads", quantity=tasks * load.publications * lines / GB, price="file read"
        )


def _rest(stack: PricedStack, load: Load) -> Iterator[Line]:
    yield Line(group="rest", what="secret", quantity=stack.secrets, price="secret")
    yield Line(group="rest", what="alarms", quantity=stack.alarm_metrics, price="alarm metric")
    yield Line(group="rest", what="own metrics", quantity=stack.custom_metrics, price="custom metric")
    yield Line(group="rest", what="dashboards", quantity=stack.dashboards, price="dashboard")
    yield Line(group="rest", what="images", quantity=IMAGE_GB, price="image storage")
    logs = work.LOG_BYTES * (load.receipts + HOURS_A_MONTH * 60 / stack.tick_minutes) / GB
    yield Line(group="rest", what="logs", quantity=logs, price="log")
    tokens = work.DISTINCT_TEXT_BYTES / work.BYTES_A_TOKEN * load.receipts if stack.secrets else 0.0
    yield Line(group="embedding", what="texts", quantity=tokens, price="embedding token")


def _versions(stack: PricedStack, load: Load) -> float:
    """Bytes of both collections' versions."""
    return sum(work.version_bytes(name, load.stored, stack.dimensions) for name in COLLECTIONS if load.stored)
