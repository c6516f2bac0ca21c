"""What saturates first, and which quota is met: receipts a second that each part of a stack can take. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ops.cost.month import Load
from ops.cost.prices import HOURS_A_MONTH, SECONDS_A_MONTH
from ops.cost.stack import FREE_DISK_MB, MB_A_GB, PricedStack
from ops.scale import work
from ops.scale.model import PORTION_RUNS
from ops.scale.scenario import COLLECTIONS
from ops.scale.times import Times

FULL = 0.8
"""Of a part's capacity, up to which it is not called saturated: above it what waits grows with every burst."""
NEW_ACCOUNT_CONCURRENCY, ACCOUNT_CONCURRENCY = 10, 1_000
"""Lambda's concurrent invocations in a Region (AWS Lambda developer guide, gettingstarted-limits)."""
FIFO_CALLS_A_SECOND = 70_000
"""Of one action on a FIFO queue of high throughput in us-east-1 (Amazon SQS developer guide, quotas-messages)."""
TABLE_WRITES_A_SECOND = 40_000
"""Of an on-demand table (Amazon DynamoDB developer guide, ServiceQuotas)."""
PARTITION_WRITES_A_SECOND = 1_000
"""Of one partition of a table or an index (Amazon DynamoDB developer guide, warm-throughput-scenarios). The index of
unfinished runs has one key a state and a sort key that only grows, which a split does not divide."""
PENDING_WRITES = 4
"""Units that a receipt writes under the index's key PENDING: the item of 2 kB comes, and goes."""
TOKENS_A_MINUTE = {"tier 1": 1_000_000, "tier 5": 10_000_000}
"""Of text-embedding-3-small (developers.openai.com, the model's page, as repeated by burncloud.com)."""
VECTORS_A_SECOND_OF_AN_INDEX = 2_500
"""Inserted and deleted together, in one index of Amazon S3 Vectors (Amazon S3 user guide, s3-vectors-limitations)."""
COPIES_ON_DISK = 2
"""Of a version on the merge's disk: the working copy, and (assumed as large) what is built again beside it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the stack, or a quota.

    Attributes:
        capacity: receipts a second that it takes.
        next_step: what to do when it is the first to saturate.
    """

    name: str
    capacity: float
    next_step: str
    is_quota: bool = False

    def load(self, rate: float) -> float:
        """Of its capacity, at so many receipts a second."""
        return rate / self.capacity if self.capacity else math.inf


def parts(stack: PricedStack, times: Times, *, stored: float) -> list[Part]:
    """Every part and quota, the first to saturate first.

    Args:
        stack: as it is declared.
        times: service times.
        stored: receipts that the collections hold.
    """
    found = [*_parts(stack, times, stored), *_quotas(stack)]
    return sorted(found, key=lambda part: part.capacity)


def merge_capacity(stack: PricedStack, times: Times, collection: str, stored: float) -> float:
    """Receipts a second that one collection's merge takes: the lease lets one go at a time."""
    merge = times.merge[collection]
    size = work.version_bytes(collection, stored, stack.dimensions)
    publication = merge.publication + (merge.publication_a_byte + merge.upload_a_byte) * size
    every = max(stack.publish_every_seconds, PORTION_RUNS[collection] * merge.delta + publication)
    return max(0.0, 1 - publication / every) / merge.delta


def shards(stack: PricedStack, times: Times, rate: float, stored: float) -> int:
    """Parts into which the slower collection must be divided so that none is saturated."""
    for count in range(1, 10_000):
        own = stored / count
        if all(rate / count <= FULL * merge_capacity(stack, times, name, own) for name in COLLECTIONS):
            return count
    return 10_000


def steady(stack: PricedStack, times: Times, rate: float, stored: float) -> tuple[Load, int]:
    """The load of a month with full batches, and the tasks of the worker, if every part were as large as it must be."""
    batch = 10 if stack.embed is None else stack.embed.batch_size
    to_worker = 0.0 if not stack.task.most else 1.0 if stack.embed is None else work.LARGE_SHARE
    a_task = times.task_batch / (times.task + times.task_batch * times.task_a_receipt)
    tasks = math.ceil(rate * to_worker / (FULL * a_task))
    every = max(stack.publish_every_seconds, 60)
    publishing = sum(
        merge.publication
        + (merge.publication_a_byte + merge.upload_a_byte) * work.version_bytes(name, stored, stack.dimensions)
        for name, merge in times.merge.items()
    )
    stream = 1 / (rate * (stack.stream_window_seconds + times.stream))
    load = Load(
        receipts=rate * SECONDS_A_MONTH,
        stored=stored,
        invocations={"upload": 1.0, "embed": (1 - to_worker) / batch, "stream": stream},
        busy_seconds={
            "upload": times.upload,
            "embed": (1 - to_worker) * (times.embed / batch + times.embed_a_receipt),
            "stream": times.stream * stream,
            "merge": sum(merge.delta for merge in times.merge.values()) + publishing / (rate * every),
        },
        publications=SECONDS_A_MONTH / every,
        task_hours=tasks * HOURS_A_MONTH,
    )
    return load, tasks


def new_vectors(stored: float) -> float:
    """Texts that one more receipt adds to the collections."""
    return sum(work.GROWTH[name].added(stored) for name in COLLECTIONS)


def receipts_until_full(stack: PricedStack) -> int:
    """Receipts with which the collections' copies fill the merge's disk."""
    disk = (stack.functions["merge"].paid_disk_gb + FREE_DISK_MB / MB_A_GB) * 1024**3
    low, high = 1, 10**10
    while high - low > 1:
        middle = (low + high) // 2
        # Both collections have a copy on the same disk.
        size = COPIES_ON_DISK * sum(work.version_bytes(name, middle, stack.dimensions) for name in COLLECTIONS)
        low, high = (middle, high) if size < disk else (low, middle)
    return low


def _parts(stack: PricedStack, times: Times, stored: float) -> Iterator[Part]:
    if stack.pictures is not None:
        yield Part(
            name="pictures function",
            # One setting is the concurrency of both functions of the upload.
            capacity=stack.upload_concurrency / work.PICTURE_SECONDS,
            next_step="raise receipts:upload.maximumConcurrency",
        )
    yield Part(
        name="upload function",
        capacity=stack.upload_concurrency / times.upload,
        next_step="raise receipts:upload.maximumConcurrency",
    )
    function = 0.0
    if stack.embed is not None:
        batch = stack.embed.batch_size
        function = stack.embed.maximum_concurrency * batch / (times.embed + batch * times.embed_a_receipt)
    worker = stack.task.most * times.task_batch / (times.task + times.task_batch * times.task_a_receipt)
    if function:
        share = 1 - work.LARGE_SHARE if worker else 1.0
        yield Part(
            name="embed function",
            capacity=function / share,
            next_step="raise receipts:lambda.maximumConcurrency",
        )
    if worker:
        share = work.LARGE_SHARE if function else 1.0
        yield Part(name="worker", capacity=worker / share, next_step="raise receipts:ecs.maximumTasks")
    for collection in COLLECTIONS:
        yield Part(
            name=f"merge of {collection}",
            capacity=merge_capacity(stack, times, collection, stored),
            next_step=f"divide {collection} into shards, each with its own lease, or use a hosted index",
        )


def _quotas(stack: PricedStack) -> Iterator[Part]:
    if stack.secrets:
        tokens = work.DISTINCT_TEXT_BYTES / work.BYTES_A_TOKEN
        for tier, minute in TOKENS_A_MINUTE.items():
            yield Part(
                name=f"OpenAI's tokens a minute, {tier}",
                capacity=minute / 60 / tokens,
                next_step="a higher tier; above the highest a model of one's own",
                is_quota=True,
            )
    yield Part(
        name="DynamoDB, one partition of the index of unfinished runs",
        capacity=PARTITION_WRITES_A_SECOND / PENDING_WRITES,
        next_step="spread the index's key over some numbers",
        is_quota=True,
    )
    yield Part(
        name="DynamoDB, the table",
        capacity=TABLE_WRITES_A_SECOND / work.TABLE_WRITES,
        next_step="ask for a higher quota",
        is_quota=True,
    )
    yield Part(
        name="SQS, sends to a FIFO queue",
        capacity=FIFO_CALLS_A_SECOND,
        next_step="none is needed",
        is_quota=True,
    )
