"""What a switch will do, and whether it may begin. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.auditing import AuditedQueue, Finding
from stack.choice import EmbedConsumer, Host, consumers

BLOCKING = {Finding.TWO_CONSUMERS, Finding.WRONG_CONSUMER, Finding.UNEXPECTED_CONSUMER}
"""Somebody unknown is at work; that nobody is, may be the very reason for the switch."""
MAPPING, SERVICE, SCALING, LOCK = "embed-lambda-maps-embed", "worker-service", "worker-scaling", "embed-lock"
"""The resources that a switch changes, by their names in the program."""


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One resource and what becomes of it."""

    resource: str
    action: str


def plan(current: EmbedConsumer, wanted: EmbedConsumer, *, tasks: int = 1) -> list[PlannedStep]:
    """The steps of a switch between consumers of ``embed``, in order; steps with one place in the order are neighbours.

    Args:
        current: who consumes now.
        wanted: who shall.
        tasks: the worker's desired count, for the text.
    """
    old, new = consumers(current)["embed"], consumers(wanted)["embed"]
    if old == new:
        return []
    off = {
        "lambda": [PlannedStep(resource=MAPPING, action="the mapping is disabled; Lambda polls no more")],
        "ecs": [
            PlannedStep(resource=SERVICE, action="desired count 0; tasks finish or release what they hold, and stop"),
            PlannedStep(resource=SCALING, action="scaling 0 to 0; nothing can bring a task back"),
        ],
        None: [],
    }
    on = {
        "lambda": [PlannedStep(resource=MAPPING, action="the mapping is enabled")],
        "ecs": [
            PlannedStep(resource=SERVICE, action=f"desired count {tasks}; the update waits for steady state"),
            PlannedStep(resource=SCALING, action="scaling by the backlog"),
        ],
        None: [],
    }
    name = {"lambda": "the function", "ecs": "the worker", None: "nobody"}[new]
    return [
        *off[old],
        PlannedStep(resource=LOCK, action=f"when nobody else is at work, the queue lets {name} receive"),
        *on[new],
    ]


def blocking_findings(audited: Sequence[AuditedQueue]) -> list[AuditedQueue]:
    """The queues whose consumers must be put in order before anything is switched."""
    return [item for item in audited if item.finding in BLOCKING]


def winner(wanted: EmbedConsumer) -> Host | None:
    """Who consumes ``embed`` afterwards."""
    return consumers(wanted)["embed"]


def loser(wanted: EmbedConsumer) -> Host | None:
    """Whose idleness is looked for in logs afterwards; the audit looks at everybody."""
    losers: Mapping[EmbedConsumer, Host] = {"lambda": "ecs", "ecs": "lambda"}
    return losers.get(wanted)
