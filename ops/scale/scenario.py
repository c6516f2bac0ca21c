"""What is simulated and what comes of it: the stack and its load in, moments and counts out. No event is here. Pure."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ops.scale.times import Times

COLLECTIONS = ("lines", "words")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A stack and its load.

    Attributes:
        arrivals: the moments at which OCR results arrive, in seconds; ascending.
        groups: the FIFO group of each arrival; None gives each its own, as receipts have.
        function_concurrency: batches of the embed function at once; 0 when it is off.
        most_tasks: what scaling may reach; 0 when the worker is off.
        warm_tasks: tasks that run when the first receipt comes.
        large_share: of the receipts, for the worker; the rest is the function's. Of no meaning unless both are on.
        version_bytes: of a collection's version, by collection.
        shards: parts of a collection, each with a lease of its own.
        seconds: when the simulation ends.
    """

    arrivals: Sequence[float]
    groups: Sequence[int] | None = None
    upload_concurrency: int
    function_concurrency: int
    batch_size: int = 10
    most_tasks: int = 0
    warm_tasks: int = 0
    messages_per_task: int = 200
    idle_minutes: int = 10
    large_share: float = 0.0
    stream_window: float = 5.0
    publish_every: float
    tick: float
    version_bytes: Mapping[str, float]
    shards: int = 1
    seconds: float
    times: Times


@dataclass
class Outcome:
    """What happened.

    Attributes:
        searchable: for each receipt that became so, in both collections, its arrival and the seconds since.
        recorded: the moments in which runs were recorded.
        waiting: receipts that had not become searchable at the end.
        invocations: of each function; busy_seconds: of each.
        task_seconds: of all tasks, from their start; most_tasks: at once.
        publications: by collection.
    """

    searchable: list[tuple[float, float]] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    waiting: int = 0
    invocations: dict[str, int] = field(default_factory=dict)
    busy_seconds: dict[str, float] = field(default_factory=dict)
    task_seconds: float = 0.0
    most_tasks: int = 0
    publications: dict[str, int] = field(default_factory=dict)

    def percentile(self, share: float, *, arrived_before: float = math.inf) -> float:
        """Seconds until searchable that so large a share of the receipts did not exceed; NaN without any."""
        ordered = sorted(seconds for arrived, seconds in self.searchable if arrived < arrived_before)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    def count(self, function: str, seconds: float) -> None:
        """One invocation more."""
        self.invocations[function] = self.invocations.get(function, 0) + 1
        self.busy_seconds[function] = self.busy_seconds.get(function, 0.0) + seconds


def poisson(rate: float, seconds: float, *, seed: int = 1) -> list[float]:
    """Moments of arrivals at random, so many a second on average."""
    source, moment, found = random.Random(seed), 0.0, []  # noqa: S311 - a simulation, not a secret
    while (moment := moment + source.expovariate(rate)) < seconds:
        found.append(moment)
    return found
