"""The stack as discrete events: queues with FIFO groups, batches, pollers, tasks, the lease, publications. Pure.

Receipts come at random moments, as many a second as asked for, or at given ones. What waits is simulated; how long a
step takes is in ``times.py``. It knows no AWS, no clock of the machine and no price.
"""

import random
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

import simpy

from ops.scale.fifo import FifoQueue
from ops.scale.scenario import COLLECTIONS, Outcome, Scenario
from ops.scale.times import MergeTimes

MESSAGES_A_BATCH = 10
RUNS_A_MESSAGE = 500
"""As ``compaction_handler/coalescing.py`` has it."""
PORTION_RUNS = {"lines": 300, "words": 227}
"""Of a merge, between two looks at whether a publication is due: as ``compaction_handler/planning.py`` divides runs of
the rows that a receipt has (``work.py``)."""
MORE_WAITS_SECONDS = 15.0
"""Without a publication interval: so long a published run waits for the runs behind it (``merging.py``)."""
SCALING_SECONDS = 60.0
Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One receipt on its way."""

    number: int
    group: int
    arrived: float


def simulate(scenario: Scenario) -> Outcome:
    """Run the scenario."""
    world = _World(scenario)
    world.environment.run(until=scenario.seconds)
    world.outcome.waiting = len(scenario.arrivals) - len(world.outcome.searchable)
    world.outcome.task_seconds += sum(scenario.seconds - started for started in world.running.values())
    return world.outcome


class _World:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.times = scenario, scenario.times
        self.environment = simpy.Environment()
        self.outcome = Outcome()
        self._upload = simpy.Resource(self.environment, scenario.upload_concurrency)
        self._function_queue = FifoQueue(self.environment)
        # With one consumer there is one queue, whoever consumes it.
        both = scenario.function_concurrency > 0 and scenario.most_tasks > 0
        self._worker_queue = FifoQueue(self.environment) if both else self._function_queue
        self._both = both
        self._stream: list[Receipt] = []
        self._stream_woken = self.environment.event()
        self._left = {receipt: len(COLLECTIONS) for receipt in range(len(scenario.arrivals))}
        self._tasks = 0
        self.running: dict[int, float] = {}
        self._random = random.Random(2)  # noqa: S311 - a simulation, not a secret
        self._mergers = {
            (collection, shard): _Merger(self, collection, scenario.times.merge[collection])
            for collection in COLLECTIONS
            for shard in range(scenario.shards)
        }
        start = self.environment.process
        start(self._arrive())
        start(self._read_stream())
        for _ in range(scenario.function_concurrency):
            start(self._poll())
        if scenario.most_tasks:
            for _ in range(scenario.warm_tasks):
                self._start_task(0.0)
            start(self._scale())

    def _arrive(self) -> Steps:
        groups = self.scenario.groups
        for number, moment in enumerate(self.scenario.arrivals):
            yield self.environment.timeout(max(0.0, moment - self.environment.now))
            group = number if groups is None else groups[number]
            self.environment.process(self._export(Receipt(number=number, group=group, arrived=moment)))

    def _export(self, receipt: Receipt) -> Steps:
        yield self.environment.timeout(self.times.notification)
        with self._upload.request() as slot:
            yield slot
            yield self.environment.timeout(self.times.upload)
        self.outcome.count("upload", self.times.upload)
        is_large = self._both and self._random.random() < self.scenario.large_share
        (self._worker_queue if is_large else self._function_queue).put(receipt.group, receipt)

    def _poll(self) -> Steps:
        """One of the embed function's concurrent batches."""
        queue, is_cold = self._function_queue, True
        while True:
            if not (taken := queue.take(self.scenario.batch_size)):
                yield queue.changed()
                yield self.environment.timeout(self.times.poll)
                continue
            seconds = self.times.embed + self.times.embed_a_receipt * len(taken)
            yield self.environment.timeout(seconds + (self.times.embed_cold if is_cold else 0.0))
            is_cold = False
            self.outcome.count("embed", seconds)
            self._record(queue, taken)

    def _scale(self) -> Steps:
        """Application Auto Scaling: one task for the first message, one more for every so many, none when idle."""
        idle_since: float | None = None
        while True:
            yield self.environment.timeout(SCALING_SECONDS)
            backlog = self._worker_queue.most_since()
            if backlog:
                idle_since = None
                wanted = min(self.scenario.most_tasks, 1 + backlog // self.scenario.messages_per_task)
                delay = self.times.task_start + (self.times.alarm if self._tasks == 0 else 0.0)
                for _ in range(wanted - self._tasks):
                    self._start_task(delay)
            elif self._tasks:
                idle_since = self.environment.now if idle_since is None else idle_since
                if self.environment.now - idle_since >= 60 * self.scenario.idle_minutes:
                    self._tasks = 0

    def _start_task(self, delay: float) -> None:
        self._tasks += 1
        self.outcome.most_tasks = max(self.outcome.most_tasks, self._tasks)
        self.environment.process(self._task(delay, self._tasks))

    def _task(self, delay: float, number: int) -> Steps:
        yield self.environment.timeout(delay)
        queue = self._worker_queue
        self.running[number] = self.environment.now
        while number <= self._tasks:
            if not (taken := queue.take(int(self.times.task_batch))):
                yield queue.changed() | self.environment.timeout(SCALING_SECONDS)
                continue
            yield self.environment.timeout(self.times.task + self.times.task_a_receipt * len(taken))
            self._record(queue, taken)
        self.outcome.task_seconds += self.environment.now - self.running.pop(number)

    def _record(self, queue: FifoQueue, taken: list[tuple[int, Any]]) -> None:
        queue.done(taken)
        self._stream += [receipt for _, receipt in taken]
        self.outcome.recorded += [self.environment.now] * len(taken)
        if not self._stream_woken.triggered:
            self._stream_woken.succeed()

    def _read_stream(self) -> Steps:
        """The stream's mapping gathers for its window, then the stream processor sends its messages."""
        while True:
            yield self._stream_woken
            yield self.environment.timeout(self.scenario.stream_window + self.times.stream)
            self._stream_woken = self.environment.event()
            runs, self._stream = self._stream, []
            self.outcome.count("stream", self.times.stream)
            for (_, shard), merger in self._mergers.items():
                own = [run for run in runs if run.number % self.scenario.shards == shard]
                for start in range(0, len(own), RUNS_A_MESSAGE):
                    merger.queue.put(0, own[start : start + RUNS_A_MESSAGE])

    @property
    def is_recorded(self) -> bool:
        """Whether runs are on their way to the merges."""
        return bool(self._stream)

    def published(self, runs: Iterable[Receipt]) -> None:
        """A version of one collection is there with these runs."""
        for run in runs:
            self._left[run.number] -= 1
            if self._left[run.number] == 0:
                self.outcome.searchable.append((run.arrived, self.environment.now - run.arrived))


class _Merger:
    """Merges a collection, or a shard of it, under its lease; the queue's one group lets one batch go at a time."""

    def __init__(self, world: _World, collection: str, times: MergeTimes) -> None:
        self._world, self._collection, self._times = world, collection, times
        environment = world.environment
        self.queue = FifoQueue(environment)
        self._lease = simpy.Resource(environment, 1)
        self._unpublished: list[Receipt] = []
        self._published_at = -world.scenario.publish_every
        self._is_cold = True
        environment.process(self._merge())
        environment.process(self._tick())

    def _merge(self) -> Steps:
        environment = self._world.environment
        while True:
            if not (taken := self.queue.take(MESSAGES_A_BATCH)):
                yield self.queue.changed()
                yield environment.timeout(self._world.times.poll)
                continue
            with self._lease.request() as lease:
                yield lease
                began = environment.now
                if self._is_cold:
                    yield environment.timeout(self._world.times.merge_cold)
                    self._is_cold = False
                yield environment.timeout(self._times.invocation)
                runs = [run for _, message in taken for run in message]
                size = PORTION_RUNS[self._collection]
                for start in range(0, len(runs), size):
                    portion = runs[start : start + size]
                    yield environment.timeout(self._times.delta * len(portion))
                    self._unpublished += portion
                    yield from self._publish_if_due()
                self._world.outcome.count("merge", environment.now - began)
            self.queue.done(taken)

    def _tick(self) -> Steps:
        environment = self._world.environment
        while True:
            yield environment.timeout(self._world.scenario.tick)
            # A tick that meets a merge leaves everything to the next one.
            if self._lease.count == 0:
                with self._lease.request() as lease:
                    yield lease
                    began = environment.now
                    yield from self._publish_if_due()
                    self._world.outcome.count("merge", environment.now - began)

    def _publish_if_due(self) -> Steps:
        environment, scenario = self._world.environment, self._world.scenario
        every = scenario.publish_every
        if not every and (self.queue or self._world.is_recorded):
            every = MORE_WAITS_SECONDS
        if not self._unpublished or environment.now - self._published_at < every:
            return
        size = scenario.version_bytes[self._collection]
        yield environment.timeout(self._times.publication + self._times.publication_a_byte * size)
        self._published_at = environment.now
        # Runs are COMPLETED, and found by readers of S3, when the version is there too.
        yield environment.timeout(self._times.upload_a_byte * size)
        published, self._unpublished = self._unpublished, []
        counted = self._world.outcome.publications
        counted[self._collection] = counted.get(self._collection, 0) + 1
        self._world.published(published)
