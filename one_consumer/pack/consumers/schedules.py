"""Rules of EventBridge and schedules of its scheduler that are on. What they start is read elsewhere."""

from collections.abc import Iterator
from typing import Final

from one_consumer.pack.graph import Graph, Resource
from one_consumer.pack.workloads import off_by_word

RULE: Final = "aws:cloudwatch/eventRule:EventRule"
RULE_TARGET: Final = "aws:cloudwatch/eventTarget:EventTarget"
SCHEDULE: Final = "aws:scheduler/schedule:Schedule"
TYPES: Final = (RULE, RULE_TARGET, SCHEDULE)


def rule_targets(graph: Graph) -> Iterator[Resource]:
    """The targets of rules that are on, or that are not in the stack."""
    for target in graph.of(RULE_TARGET):
        rules = graph.referred(target, "rule", RULE)
        if not rules or not all(off_by_word(rule, "state", "DISABLED") or _is_disabled(rule) for rule in rules):
            yield target


def _is_disabled(rule: Resource) -> bool:
    """By the older switch, which the provider fills in beside the newer one."""
    return off_by_word(rule, "isEnabled", False) and rule.value("state") in (None, "DISABLED")


def schedules(graph: Graph) -> Iterator[Resource]:
    """The schedules that are on; unset is on."""
    return (schedule for schedule in graph.of(SCHEDULE) if not off_by_word(schedule, "state", "DISABLED"))
