"""What was seen of a queue's consumers, and what it means: on, draining or off. Pure; looking is in ``observer``."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

COUNTS_SETTLE_SECONDS = 60
"""SQS's counts are right a minute after messages last moved (Amazon SQS API reference, GetQueueAttributes)."""


class Standing(StrEnum):
    """What a consumer may do with its queue."""

    ON = "on"
    DRAINING = "draining"
    """It receives no more, and may still work on what it received."""
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which consumer.

    Attributes:
        kind: ``mapping``, ``pipe``, ``service``, ``task`` or ``schedule``.
        name: the function's, the pipe's, the service's, the task's, or that of the task definition which is started.
        cluster: of a service, task or schedule; two clusters may have services of one name.
    """

    kind: str
    name: str
    cluster: str = ""


@dataclass(frozen=True, kw_only=True)
class LiveConsumer:
    """One consumer; ``kind``, ``name`` and ``cluster`` as in ``Identity``.

    Attributes:
        why: why it has this standing.
        because: why it counts as a consumer of this queue.
    """

    kind: str
    name: str
    standing: Standing
    why: str
    cluster: str = ""
    because: str = ""

    @property
    def identity(self) -> Identity:
        """Which consumer it is."""
        return Identity(kind=self.kind, name=self.name, cluster=self.cluster)


@dataclass(frozen=True, kw_only=True)
class SeenMapping:
    """An event source mapping; ``changed_at`` is when its state last changed."""

    identifier: str
    function: str
    state: str
    changed_at: datetime
    function_timeout_seconds: int


@dataclass(frozen=True, kw_only=True)
class SeenService:
    """A service that runs, or may run, tasks that refer to the queue.

    Attributes:
        tasks: those that refer to the queue and have not stopped, whatever revision they are of.
        refers: whether the tasks that it would start now refer to the queue.
        maximum_capacity: of its scalable target; 0 where it has none.
        because: why its tasks may receive.
    """

    cluster: str
    name: str
    desired_count: int
    tasks: int
    refers: bool
    maximum_capacity: int
    because: str = ""


@dataclass(frozen=True, kw_only=True)
class SeenTask:
    """A task of no service that refers to the queue and has not stopped; ``because`` is why it may receive."""

    cluster: str
    name: str
    because: str = ""


@dataclass(frozen=True, kw_only=True)
class SeenSchedule:
    """A task definition that rules or schedules start, and whose tasks may receive from the queue.

    Attributes:
        name: the task definition's, without its revision.
        starters: the rules and schedules that start it and are enabled.
        tasks: those of no service that have not stopped.
        because: why its tasks may receive.
    """

    cluster: str
    name: str
    starters: tuple[str, ...]
    tasks: int
    because: str = ""


@dataclass(frozen=True, kw_only=True)
class SeenPipe:
    """A pipe with the queue as its source."""

    name: str
    state: str


@dataclass(frozen=True, kw_only=True)
class QueueObservation:
    """A queue and everything that was seen to consume it.

    Attributes:
        counts_settle_seconds: how long after a change the counts may still be wrong.
    """

    url: str
    arn: str
    visible: int
    in_flight: int
    counts_settle_seconds: int = COUNTS_SETTLE_SECONDS
    mappings: tuple[SeenMapping, ...] = ()
    services: tuple[SeenService, ...] = ()
    tasks: tuple[SeenTask, ...] = ()
    pipes: tuple[SeenPipe, ...] = ()
    schedules: tuple[SeenSchedule, ...] = ()

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.url.rsplit("/", 1)[-1]


def consumers(seen: QueueObservation, now: datetime) -> tuple[LiveConsumer, ...]:
    """Every consumer that was seen, with its standing at ``now`` (aware of its time zone)."""
    return (
        *(_mapping(seen, mapping, now) for mapping in seen.mappings),
        *(_service(service) for service in seen.services),
        *(_of_ecs("task", task, Standing.ON, f"runs in cluster {task.cluster}") for task in seen.tasks),
        *(
            LiveConsumer(
                kind="pipe",
                name=pipe.name,
                standing=Standing.OFF if pipe.state == "STOPPED" else Standing.ON,
                why=pipe.state,
                because="the queue is its source",
            )
            for pipe in seen.pipes
        ),
        *(_schedule(schedule) for schedule in seen.schedules),
    )


def _mapping(seen: QueueObservation, mapping: SeenMapping, now: datetime) -> LiveConsumer:
    ended = mapping.changed_at + timedelta(seconds=mapping.function_timeout_seconds)
    settled = mapping.changed_at + timedelta(seconds=seen.counts_settle_seconds)
    if mapping.state != "Disabled":
        standing, why = Standing.ON, f"mapping {mapping.identifier} is {mapping.state}"
    elif not seen.in_flight and settled <= now:
        standing, why = Standing.OFF, "Disabled, and nothing is in flight"
    elif ended <= now:
        # An invocation that began before has ended by then; what is still in flight is hidden, and nothing works on it.
        standing, why = Standing.OFF, f"Disabled for more than the function's {mapping.function_timeout_seconds} s"
    else:
        standing = Standing.DRAINING
        why = (
            f"Disabled with {seen.in_flight} in flight; its last run must end by {ended:%H:%M:%S} UTC"
            if seen.in_flight
            else f"Disabled; that nothing is in flight is certain at {min(settled, ended):%H:%M:%S} UTC"
        )
    because = "the queue is its event source"
    return LiveConsumer(kind="mapping", name=mapping.function, standing=standing, why=why, because=because)


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"


def _service(service: SeenService) -> LiveConsumer:
    if service.refers and service.desired_count:
        standing, why = Standing.ON, f"desired count {service.desired_count}, {_tasks(service.tasks)}"
    elif service.refers and service.maximum_capacity:
        standing, why = Standing.ON, f"desired count 0, but scaling may start {service.maximum_capacity}"
    elif service.tasks:
        standing, why = Standing.DRAINING, f"{_tasks(service.tasks)} stopping"
    else:
        standing, why = Standing.OFF, "no task, and none may start"
    return _of_ecs("service", service, standing, why)


def _schedule(schedule: SeenSchedule) -> LiveConsumer:
    if schedule.starters:
        standing, why = Standing.ON, f"started by {', '.join(schedule.starters)}; {_tasks(schedule.tasks)} now"
    elif schedule.tasks:
        standing, why = Standing.ON, f"its rules and schedules are disabled, {_tasks(schedule.tasks)} running"
    else:
        standing, why = Standing.OFF, "its rules and schedules are disabled, and no task runs"
    return _of_ecs("schedule", schedule, standing, why)


def _of_ecs(kind: str, seen: SeenTask | SeenService | SeenSchedule, standing: Standing, why: str) -> LiveConsumer:
    return LiveConsumer(
        kind=kind, name=seen.name, cluster=seen.cluster, standing=standing, why=why, because=seen.because
    )
