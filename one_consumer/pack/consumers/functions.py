"""Functions that poll a queue by their own code; ``consumers/mappings.py`` reads those that AWS feeds."""

from collections.abc import Iterator
from typing import Any, Final

from one_consumer.pack.consumers.mappings import MAPPING
from one_consumer.pack.consumers.schedules import rule_targets, schedules
from one_consumer.pack.graph import Graph, Queue, Resource, parsed
from one_consumer.pack.knowledge import Knowledge, words_of_variables
from one_consumer.pack.principals import each
from one_consumer.pack.workloads import Program, Workload, principals_of

FUNCTION: Final = "aws:lambda/function:Function"
ALIAS: Final = "aws:lambda/alias:Alias"
PERMISSION: Final = "aws:lambda/permission:Permission"
RESOURCE_POLICY: Final = "aws:lambda/resourcePolicy:ResourcePolicy"
TYPES: Final = (FUNCTION, ALIAS, PERMISSION, RESOURCE_POLICY)
SCHEDULERS: Final = frozenset({"events.amazonaws.com", "scheduler.amazonaws.com"})
"""Who calls a function at times (Lambda developer guide, access-control-resource-based)."""


def workloads(graph: Graph) -> Iterator[Workload]:
    """Every function, with the queues that mappings feed it from, and whether a schedule may call it."""
    fed: dict[str, set[Queue]] = {}
    for mapping in graph.of(MAPPING):
        for function in functions_of(graph, mapping, "functionName"):
            fed.setdefault(function.urn, set()).update(graph.referred_queues(mapping, "eventSourceArn"))
    scheduled = {function.urn for function in _called_by_schedules(graph)}
    for function in graph.of(FUNCTION):
        variables = function.value("environment", "variables")
        knowledge = Knowledge.of(graph, function, "environment", variables, words_of_variables(variables))
        yield Workload(
            resource=function,
            what="function",
            programs=(Program(principals_of(graph, function, "role"), knowledge),),
            invoked=True,
            scheduled=function.urn in scheduled,
            fed=frozenset(fed.get(function.urn, ())),
        )


def functions_of(graph: Graph, holder: Resource, name: str, path: tuple[str, ...] = ()) -> list[Resource]:
    """The functions that a property names, through an alias too."""
    aliases = graph.referred(holder, name, ALIAS, path=path)
    return graph.referred(holder, name, FUNCTION, path=path) or [
        function for alias in aliases for function in graph.referred(alias, "functionName", FUNCTION)
    ]


def _called_by_schedules(graph: Graph) -> Iterator[Resource]:
    """Functions that a rule or schedule calls, or may call: by a permission, or by a function's whole policy."""
    for target in rule_targets(graph):
        yield from functions_of(graph, target, "arn")
    for schedule in schedules(graph):
        yield from functions_of(graph, schedule, "target", path=("arn",))
    for permission in graph.of(PERMISSION):
        if permission.text("principal") in SCHEDULERS:
            yield from functions_of(graph, permission, "function")
    for policy in graph.of(RESOURCE_POLICY):
        document = parsed(policy.value("policy"))
        statements = each(document.get("Statement"), dict) if isinstance(document, dict) else []
        if any(SCHEDULERS & set(_services(item)) for item in statements if item.get("Effect") == "Allow"):
            yield from functions_of(graph, policy, "resourceArn")


def _services(statement: dict[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    return each(principal.get("Service"), str) if isinstance(principal, dict) else []
