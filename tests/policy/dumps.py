"""Stacks as the engine shows them to a pack, written down for programs in any language, at three moments.

The engine knows resources, not languages: a program in TypeScript and one in Python differ in the components around
their resources, in how they join texts, and in what they look up. So a stack is written here by the providers' own
types and property names, with references where the program has them, and is shown at the first preview (nothing that a
provider makes up is known), at the preview of an update that adds to existing queues, and when everything is known.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from one_consumer.pack.graph import UNKNOWN, Graph, Resource

ACCOUNT, REGION = "000000000000", "us-east-1"


class Moment(Enum):
    """When the stack is shown."""

    FIRST_PREVIEW = "first preview"
    EXISTING = "preview over existing queues"
    KNOWN = "known"


@dataclass(frozen=True)
class Ref:
    """A property of another resource that its provider makes up."""

    urn: str
    value: str
    exists: bool

    def at(self, moment: Moment) -> Any:
        known = moment is Moment.KNOWN or (moment is Moment.EXISTING and self.exists)
        return self.value if known else UNKNOWN


@dataclass(frozen=True)
class Text:
    """A text of parts, as ``pulumi.interpolate`` and ``Output.json_dumps`` make one: unknown as a whole."""

    render: Callable[[Any], str]
    parts: Any


@dataclass(frozen=True)
class LookedUp:
    """What an invoke with unknown arguments answers: unknown while they are, and tied to nothing."""

    value: Any
    """The answer, with references in it."""


@dataclass
class Item:
    """One resource of a dump."""

    urn: str
    type: str
    name: str
    physical: str
    exists: bool
    properties: dict[str, Any]
    parent: str | None

    def __getattr__(self, name: str) -> Ref:
        if name.startswith("_"):
            raise AttributeError(name)
        return Ref(self.urn, _made_up(self, name), self.exists)


@dataclass
class Dump:
    """A stack that is being written down."""

    items: list[Item] = field(default_factory=list)

    def add(
        self, kind: str, title: str, /, *, exists: bool = False, parent: Item | None = None, **properties: Any
    ) -> Item:
        """Add a resource; a ``name`` in its properties is the physical one, else the provider makes one up."""
        urn = f"urn:pulumi:dev::shop::{f'{parent.type}$' if parent else ''}{kind}::{title}"
        physical = str(properties.get("name", f"{title}-4f2c1b9"))
        item = Item(urn, kind, title, physical, exists, properties, parent.urn if parent else None)
        self.items.append(item)
        return item

    def at(self, moment: Moment) -> Graph:
        return Graph(self._shown(item, moment) for item in self.items)

    def _shown(self, item: Item, moment: Moment) -> Resource:
        shown = {key: _shown(value, moment) for key, value in item.properties.items()}
        for key in ("arn", "id", "url") if item.type.startswith("aws") else ():
            shown.setdefault(key, Ref(item.urn, _made_up(item, key), item.exists).at(moment))
        if item.type.startswith("aws") and not item.type.endswith("EventSourceMapping"):
            shown.setdefault("name", Ref(item.urn, item.physical, item.exists).at(moment))
        return Resource(
            urn=item.urn,
            type=item.type,
            name=item.name,
            properties=shown,
            property_dependencies={
                key: frozenset(urns) for key, value in item.properties.items() if (urns := set(_urns(value)))
            },
            parent=item.parent,
        )


def _made_up(item: Item, key: str) -> str:
    service = item.type.split(":")[1].split("/")[0]
    if key == "url":
        return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{item.physical}"
    if key == "id" and service == "sqs":
        return _made_up(item, "url")
    if key in ("id", "name"):
        return item.physical
    middle = {
        "iam": f"arn:aws:iam::{ACCOUNT}:{'policy' if item.type.endswith(':Policy') else 'role'}/",
        "lambda": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:",
        "ecs": f"arn:aws:ecs:{REGION}:{ACCOUNT}:{'task-definition' if 'ask' in item.type else 'service'}/",
        "batch": f"arn:aws:batch:{REGION}:{ACCOUNT}:job-definition/",
        "sfn": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:",
    }.get(service, f"arn:aws:{service}:{REGION}:{ACCOUNT}:")
    suffix = ":1" if "taskDefinition" in item.type or "jobDefinition" in item.type else ""
    return f"{middle}{item.physical}{suffix}"


def _shown(value: Any, moment: Moment) -> Any:
    match value:
        case Item():
            return _shown(value.arn, moment)
        case Ref():
            return value.at(moment)
        case Text(render, parts):
            shown = _shown(parts, moment)
            return UNKNOWN if _has_unknown(shown) else render(shown)
        case LookedUp(inner):
            shown = _shown(inner, moment)
            return UNKNOWN if _has_unknown(shown) else shown
        case Mapping():
            return {key: _shown(item, moment) for key, item in value.items()}
    return [_shown(item, moment) for item in value] if isinstance(value, list) else value


def _has_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_unknown, value.values()))
    return any(map(_has_unknown, value)) if isinstance(value, list) else value is UNKNOWN


def _urns(value: Any) -> Iterator[str]:
    match value:
        case Item():
            yield value.urn
        case Ref():
            yield value.urn
        case Text():
            yield from _urns(value.parts)
        case Mapping():
            for item in value.values():
                yield from _urns(item)
        case list():
            for item in value:
                yield from _urns(item)
        case _:
            # What was looked up is tied to nothing.
            return
