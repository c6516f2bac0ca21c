"""What a switch will do, and whether it may begin. Pure: nothing is looked at or changed here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from one_consumer.audit.judgement import AuditedQueue, Finding
from one_consumer.live.observation import Identity, LiveConsumer, Standing
from stack.choice import EmbedConsumer, Host
from stack.choice import consumers as assigned

BLOCKING = {Finding.TWO_CONSUMERS, Finding.WRONG_CONSUMER, Finding.UNEXPECTED_CONSUMER}
"""Findings that stop a switch where the stack's own hosts cannot be the reason. To have no consumer stops none."""
QUEUE, LOCK = "embed-queue", "embed-lock"
MAPPING, SERVICE, SCALING = "embed-lambda-maps-embed", "worker-service", "worker-scaling"
"""The resources that a switch changes, by their names in the program."""
ROUTE, OWN_MAPPING = "upload-process-ocr-results-function", "embed-lambda-maps-embed-lambda"
OWN_QUEUES = ("embed-lambda-queue", "embed-ecs-queue")
"""Those that only come and go with ``hybrid``."""


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One resource and what becomes of it."""

    resource: str
    action: str


def plan(current: EmbedConsumer, wanted: EmbedConsumer, *, tasks: int = 1, half_way: bool = False) -> list[PlannedStep]:
    """The steps of a switch, in order; steps with one place in the order are neighbours.

    The plan lists who consumes, who sends and which queues there are; the rights, alarms and task definitions that
    follow from it are not.

    Args:
        current: who consumes now, as the last update that went through left it.
        wanted: who shall.
        tasks: the worker's desired count afterwards, for the text.
        half_way: an update has failed since; every switch may stand either way, so all of them are set.
    """
    old, new = assigned(current)["embed"], assigned(wanted)["embed"]
    worked, works = "ecs" in assigned(current).values(), "ecs" in assigned(wanted).values()
    enters, leaves = current != "hybrid" == wanted, current == "hybrid" != wanted
    moves = worked and works and current != wanted and not half_way
    name = {"lambda": "the function", "ecs": "the worker", None: "nobody"}[new]
    steps: list[tuple[bool, str, str]] = [
        (current != wanted or half_way, QUEUE, "its tag says who is to consume it; all that follows waits for that"),
        *((enters, queue, "the queue is made") for queue in OWN_QUEUES),
        (enters, OWN_MAPPING, "the mapping is made, enabled"),
        (enters, ROUTE, "receipts are sent to embed-lambda or embed-ecs, by their size"),
        (leaves, ROUTE, "receipts are sent to embed again"),
        (new != "lambda" and (old == "lambda" or half_way), MAPPING, "the mapping is disabled; Lambda polls no more"),
        (
            not works and (worked or half_way),
            SERVICE,
            "its scaling is suspended, then desired count 0; tasks finish or release what they hold, and stop",
        ),
        (not works and (worked or half_way), SCALING, "scaling 0 to 0; nothing can bring a task back"),
        (moves and enters, SERVICE, f"desired count {tasks}; its tasks stop, and new ones poll embed-ecs"),
        (old != new or half_way, LOCK, f"when nobody else is at work, the queue lets {name} receive"),
        (new == "lambda" and (old != "lambda" or half_way), MAPPING, "the mapping is enabled"),
        (moves and leaves, SERVICE, f"desired count {tasks}; its tasks stop, and new ones poll embed"),
        (
            works and (not worked or half_way),
            SERVICE,
            f"desired count {tasks}; the update waits for steady state",
        ),
        (works and (not worked or half_way), SCALING, "scaling by the backlog"),
        (leaves, OWN_MAPPING, "the mapping is deleted"),
        *((leaves, queue, "what it holds is moved to embed, then it is deleted") for queue in OWN_QUEUES),
    ]
    return [PlannedStep(resource=resource, action=action) for due, resource, action in steps if due]


def own_consumers(outputs: Mapping[str, Any]) -> frozenset[Identity]:
    """The two hosts of a stack, from its outputs.

    They may be found on its embed queues, whatever an update that failed left behind.
    """
    return frozenset(
        {
            Identity(kind="mapping", name=outputs["embedFunctionName"]),
            Identity(kind="service", name=outputs["serviceName"], cluster=outputs["clusterName"]),
        }
    )


def strangers(live: Iterable[LiveConsumer], own: frozenset[Identity]) -> tuple[LiveConsumer, ...]:
    """Who is on and is no part of the stack: no update of it turns them off.

    The stack has one mapping a queue. A second one of its own function was made by hand, and is a stranger as well.
    """
    met: set[Identity] = set()
    found = []
    for item in live:
        if item.standing is not Standing.ON:
            continue
        if item.identity not in own or item.identity in met:
            found.append(item)
        met.add(item.identity)
    return tuple(found)


def blockers(audited: Sequence[AuditedQueue], unknown: Mapping[str, Sequence[LiveConsumer]]) -> list[str]:
    """Why a switch may not begin; empty when it may.

    Args:
        audited: every queue of the stack.
        unknown: the embed queues by label, and the strangers on each. The stack's own hosts are the update's to turn
            on and off, so on these queues a finding alone blocks nothing.
    """
    found = []
    for item in audited:
        label, judged = item.expected.label, item.on if item.finding in BLOCKING else ()
        if on := unknown.get(label, judged):
            finding = item.finding or Finding.UNEXPECTED_CONSUMER
            found.append(f"{finding} on queue {label}: {', '.join(f'{who.kind} {who.name} ({who.why})' for who in on)}")
    return found


def incoming(wanted: EmbedConsumer) -> Host | None:
    """Who consumes ``embed`` afterwards."""
    return assigned(wanted)["embed"]


def outgoing(wanted: EmbedConsumer) -> Host | None:
    """The host that stops when ``wanted`` starts: its logs must then be silent. None for ``none`` and ``hybrid``."""
    opposite: Mapping[EmbedConsumer, Host] = {"lambda": "ecs", "ecs": "lambda"}
    return opposite.get(wanted)
