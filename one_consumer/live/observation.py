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
        kind: ``mapping``, ``service``, ``task`` or ``pipe``.
        name: the function's, the service's, the task's or the pipe's.
        cluster: of a service or a task; two clusters may have services of one name.
    """

    kind: str
    name: str
    cluster: str = ""


@dataclass(frozen=True, kw_only=True)
class LiveConsumer:
    """One consumer and its standing; ``kind``, ``name`` and ``cluster`` as in ``Identity``, ``why`` is the reason."""

    kind: str
    name: str
    standing: Standing
    why: str
    cluster: str = ""

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
    """

    cluster: str
    name: str
    desired_count: int
    tasks: int
    refers: bool
    maximum_capacity: int


@dataclass(frozen=True, kw_only=True)
class SeenTask:
    """A task of no service that refers to the queue and has not stopped."""

    cluster: str
    name: str


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

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.url.rsplit("/", 1)[-1]


def consumers(seen: QueueObservation, now: datetime) -> tuple[LiveConsumer, ...]:
    """Every consumer that was seen, with its standing at ``now`` (aware of its time zone)."""
    return (
        *(_mapping(seen, mapping, now) for mapping in seen.mappings),
        *(_service(service) for service in seen.services),
        *(
            LiveConsumer(
                kind="task",
                name=task.name,
                cluster=task.cluster,
                standing=Standing.ON,
                why=f"runs in cluster {task.cluster}",
            )
            for task in seen.tasks
        ),
        *(
            LiveConsumer(
                kind="pipe",
                name=pipe.name,
                standing=Standing.OFF if pipe.state == "STOPPED" else Standing.ON,
                why=pipe.state,
            )
            for pipe in seen.pipes
        ),
    )


def _mapping(seen: QueueObservation, mapping: SeenMapping, now: datetime) -> LiveConsumer:
    ended = mapping.changed_at + timedelta(seconds=mapping.function_timeout_seconds)
    settled = mapping.changed_at + timedelta(seconds=seen.counts_settle_seconds)
    if mapping.state != "Disabled":
        standing, why = Standing.ON, f"mapping {mapping.identifier} is {mapping.state}"
    elif not seen.in_flight and settled <= now:
        standing, why = Standing.OFF, "Disabled, and nothing is in flight"
    elif ended <= now:
        # An invocation that began before ended by then; what is in flight still is hidden, and nobody works on it.
        standing, why = Standing.OFF, f"Disabled for more than the function's {mapping.function_timeout_seconds} s"
    else:
        standing = Standing.DRAINING
        why = (
            f"Disabled with {seen.in_flight} in flight; its last run must end by {ended:%H:%M:%S} UTC"
            if seen.in_flight
            else f"Disabled; that nothing is in flight is certain at {min(settled, ended):%H:%M:%S} UTC"
        )
    return LiveConsumer(kind="mapping", name=mapping.function, standing=standing, why=why)


def _service(service: SeenService) -> LiveConsumer:
    if service.refers and service.desired_count:
        standing, why = Standing.ON, f"desired count {service.desired_count}, {service.tasks} tasks"
    elif service.refers and service.maximum_capacity:
        standing, why = Standing.ON, f"desired count 0, but scaling may start {service.maximum_capacity}"
    elif service.tasks:
        standing, why = Standing.DRAINING, f"{service.tasks} tasks are stopping"
    else:
        standing, why = Standing.OFF, "no task, and none may start"
    return LiveConsumer(kind="service", name=service.name, cluster=service.cluster, standing=standing, why=why)
