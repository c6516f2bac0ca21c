"""All rules over one stack, with the exceptions of the pack's configuration. Nothing here knows Pulumi's protocol.

A fault of a rule of ours must not stop somebody's preview: it is reported as ``UNJUDGED``, and the other rules go on.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import partial
from typing import Final, TypeVar

from one_consumer.pack import consumers, declarations, rights, rules, templates, twins
from one_consumer.pack.codes import Code, Violation
from one_consumer.pack.conflicts import one_consumer
from one_consumer.pack.consumers.mappings import unknown_kinds
from one_consumer.pack.graph import QUEUE, Graph, Resource
from one_consumer.pack.settings import Settings, without_allowed
from one_consumer.pack.workloads import Workload

Found = TypeVar("Found")
JUDGED: Final = frozenset(
    {QUEUE, *consumers.TYPES, *declarations.TYPES, *rights.TYPES, *rules.TYPES, *templates.TYPES, *twins.TYPES}
)

QUEUE_TWINS: Final = frozenset({token for token, kind in twins.NATIVE.items() if twins.TWINS[kind].type == QUEUE})


def is_judged(kind: str) -> bool:
    """Does a rule look at resources of this type?"""
    return kind in JUDGED


def judge(resources: Iterable[Resource], settings: Settings, today: date) -> list[Violation]:
    """Everything that is wrong with a stack, but for what is excepted on this day."""
    shown, unread = spread(resources)
    graph = Graph(shown)
    workloads: list[Workload] = []
    for kind in consumers.KINDS:
        workloads += _guarded(kind.__name__, kind.workloads, graph, unread)
    conflicts = partial(one_consumer, workloads=workloads, sends_only=settings.sends_only)
    found = _guarded("one_consumer", conflicts, graph, unread)
    for rule in (*rules.RULES, _unknown_kinds):
        found += _guarded(rule.__name__, rule, graph, unread)
    return without_allowed([*unread, *found], settings, today)


def spread(resources: Iterable[Resource]) -> tuple[list[Resource], list[Violation]]:
    """The stack with what other providers and templates make, as the AWS provider would show it.

    And what of it cannot be read: of a template before the update, only one that is made of a queue is worth a word.
    """
    shown: list[Resource] = []
    unread: list[Violation] = []
    written = list(resources)
    queues = {resource.urn for resource in written if resource.type == QUEUE or resource.type in QUEUE_TWINS}
    for resource in written:
        try:
            made = twins.translated(resource)
            if resource.type in templates.TYPES:
                made += templates.resources_of(resource)
        except templates.TemplateError as error:
            made = [resource]
            if queues & set().union(*resource.property_dependencies.values()):
                unread.append(unjudged(resource.urn, f"{resource.name!r} is made of a queue, and {error}"))
        except Exception as error:  # noqa: BLE001 - whatever a template holds, the preview goes on
            made = [resource]
            unread.append(unjudged(resource.urn, f"{resource.name!r}: {type(error).__name__}: {error}"))
        shown += made
    return shown, unread


def _unknown_kinds(graph: Graph) -> Iterator[Violation]:
    for queue, resource, name in unknown_kinds(graph):
        yield unjudged(
            resource.urn,
            f"{resource.name!r} has the queue {queue.label!r} as its {name!r}, and the pack does not know whether its"
            f" type, {resource.type}, takes messages",
        )


def _guarded(name: str, read: Callable[[Graph], Iterator[Found]], graph: Graph, unread: list[Violation]) -> list[Found]:
    """What a rule or a kind of consumers finds; when it fails, nothing, and ``unread`` says so."""
    try:
        return list(read(graph))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a rule, the preview goes on
        unread.append(unjudged("", f"{name} failed on this stack: {type(error).__name__}: {error}"))
        return []


def unjudged(urn: str, value: str) -> Violation:
    """That something was not judged, and why."""
    way_out = "look at it yourself, and report it to whoever maintains the policy pack"
    return Violation(code=Code.UNJUDGED, urn=urn, value=value, way_out=way_out)
