"""What an update of a stack needs of the account, from its settings alone. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from stack.choice import consumers
from stack.limits import CONCURRENCY_MINIMUM
from stack.settings import Settings

COLLECTIONS = 2
"""Each has a queue of its own, whose mapping starts up to ``CONCURRENCY_MINIMUM`` merges."""
STREAM_PROCESSORS, SWEEPS = 1, 1
"""Invocations at a time: the table's stream has one shard at first, and the schedule starts one merge."""
CPU_UNITS = 1_024
"""Of one vCPU."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What must be there.

    Attributes:
        stack: its name in Pulumi.
        name: what its physical names begin with.
        memory_mb: of each function whose size is a setting.
        concurrency: invocations at a time of all its functions together.
        virtual_cpus: of all tasks at their most.
        spot: they are of the quota for Fargate Spot.
    """

    stack: str
    name: str
    region: str
    zones: tuple[str, ...]
    memory_mb: Mapping[str, int]
    concurrency: int
    virtual_cpus: float
    spot: bool = False


def needs(settings: Settings, *, project: str, stack: str) -> Needs:
    """The needs of a stack with these settings."""
    counts = int("ecs" in consumers(settings.embed_consumer).values())  # What waits for the worker, once a minute.
    by_function = sum(host == "lambda" for host in consumers(settings.embed_consumer).values())
    return Needs(
        stack=stack,
        name=f"{project}-{stack}-",
        region=settings.region,
        zones=settings.network.zones,
        memory_mb={
            "receipts:lambda.memoryMb": settings.lambda_.memory_mb,
            "receipts:merge.memoryMb": settings.merge.memory_mb,
        },
        concurrency=settings.upload.maximum_concurrency * (1 if settings.ocr == "none" else 2)
        # Its mapping exists whatever is chosen, and a switch makes the function a consumer.
        + max(settings.lambda_.maximum_concurrency, by_function * settings.lambda_.maximum_concurrency + counts)
        + COLLECTIONS * CONCURRENCY_MINIMUM
        + STREAM_PROCESSORS
        + SWEEPS,
        virtual_cpus=settings.ecs.maximum_tasks * settings.ecs.cpu / CPU_UNITS,
        spot=settings.ecs.capacity == "spot",
    )
