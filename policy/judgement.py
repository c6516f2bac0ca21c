"""All rules over one stack, with the exceptions of the pack's configuration. Nothing here knows Pulumi's protocol.

A fault of a rule of ours must not stop somebody's preview: it is reported as ``UNJUDGED``, and the other rules go on.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import partial
from typing import Final

from policy import consumers, declarations, rights, rules
from policy.codes import Code, Violation
from policy.conflicts import one_consumer
from policy.graph import QUEUE, Graph, Resource
from policy.settings import Settings, without_allowed

JUDGED: Final = frozenset({QUEUE, *consumers.TYPES, *declarations.TYPES, *rights.TYPES, *rules.TYPES})


def is_judged(kind: str) -> bool:
    """Does a rule look at resources of this type?"""
    return kind in JUDGED


def judge(resources: Iterable[Resource], settings: Settings, today: date) -> list[Violation]:
    """Everything that is wrong with a stack, but for what is excepted on this day."""
    graph = Graph(resources)
    checks: dict[str, Callable[[Graph], Iterator[Violation]]] = {
        "one consumer": partial(one_consumer, sends_only=settings.sends_only),
        **{rule.__name__.replace("_", " "): rule for rule in rules.RULES},
    }
    found = [violation for name, check in checks.items() for violation in _guarded(name, check, graph)]
    return without_allowed(found, settings, today)


def _guarded(name: str, check: Callable[[Graph], Iterator[Violation]], graph: Graph) -> list[Violation]:
    try:
        return list(check(graph))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a rule, the preview goes on
        return [unjudged("", f"the rule {name!r} failed on this stack: {type(error).__name__}: {error}")]


def unjudged(urn: str, value: str) -> Violation:
    """That something was not judged, and why."""
    way_out = "look at it yourself, and report it to whoever maintains the policy pack"
    return Violation(code=Code.UNJUDGED, urn=urn, value=value, way_out=way_out)
