"""What everything that runs code has in common: a role, and words that it is started with. It judges nothing.

Each kind of workload, such as an ECS service, is read by a module of its own in ``consumers/``.
"""

from dataclasses import dataclass, field
from typing import Any

from one_consumer.pack.graph import UNKNOWN, Graph, Queue, Resource
from one_consumer.pack.knowledge import Knowledge
from one_consumer.pack.principals import Principal

ROLE = "aws:iam/role:Role"


@dataclass(frozen=True)
class Program:
    """Code that runs with a role.

    Attributes:
        principals: the roles that it may have; more than one only while its role is unknown.
    """

    principals: tuple[Principal, ...]
    knowledge: Knowledge


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Something of the stack that runs programs.

    Attributes:
        resource: what turns it on and off, and what a reader knows it by.
        what: its kind, for a reader.
        parts: resources that describe it, such as its task definitions.
        started: does the stack say that it runs? What may be started from elsewhere only is never proven to consume.
        invoked: is its code called with its input, so that most of its kind never poll? Its rights then prove little.
        scheduled: does the stack call such code at times, without an input, as a poller is called?
        fed: queues whose messages AWS hands to it, so that it need not receive them.
    """

    resource: Resource
    what: str
    programs: tuple[Program, ...] = field(compare=False)
    parts: tuple[Resource, ...] = field(compare=False, default=())
    started: bool = True
    invoked: bool = False
    scheduled: bool = False
    fed: frozenset[Queue] = field(compare=False, default=frozenset())


def principals_of(graph: Graph, resource: Resource, name: str, *path: str) -> tuple[Principal, ...]:
    """The role that a property names: of the stack, or by its ARN or name, or an unknown one."""
    roles = graph.referred(resource, name, ROLE, path=path)
    if roles:
        return tuple(Principal(resource=role) for role in roles)
    return (principal_named(graph, resource.value(name, *path)),)


def principal_named(graph: Graph, value: Any) -> Principal:
    """A role by its ARN or name, in the stack or outside, one that is unknown, or none."""
    if not isinstance(value, str):
        return Principal(unknown=value is UNKNOWN)
    roles = graph.named(value, ROLE)
    return Principal(resource=roles[0]) if roles else Principal(text=value)


def off_by_word(resource: Resource, name: str, *off: Any) -> bool:
    """Does the program say, and not ignore, that a resource is off?"""
    return resource.switch(name) in off
