"""A stack's resources as a policy sees them, and what refers to what. It judges nothing; ``rules.py`` does.

At preview everything that AWS makes up (an ARN, a URL) is unknown. A reference is therefore followed by value where the
value is known, and by the property's dependencies where it is not.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Final

from one_consumer.pack.address import QUEUE_ARN, Address

QUEUE: Final = "aws:sqs/queue:Queue"
NAMES: Final = ("arn", "url", "id", "name", "family")
"""Properties that a resource is known by."""


class Unknown(Enum):
    """The type of ``UNKNOWN``."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
"""A value that is unknown before the update; not the same as unset, which is ``None``."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource of the stack.

    Attributes:
        type: Pulumi's token for it, such as ``aws:sqs/queue:Queue``.
        properties: outputs where there are some, else inputs; named as in the provider's schema (``desiredCount``).
        property_dependencies: for each property, the URNs that its value was made of.
        ignored: properties whose changes Pulumi ignores.
    """

    urn: str
    type: str
    name: str
    properties: Mapping[str, Any]
    property_dependencies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    dependencies: frozenset[str] = frozenset()
    parent: str | None = None
    ignored: frozenset[str] = frozenset()

    def value(self, *path: str) -> Any:
        """The value at a path: ``None`` when unset, ``UNKNOWN`` when it or something above it is."""
        value: Any = self.properties
        for key in path:
            if value is UNKNOWN:
                return UNKNOWN
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def switch(self, name: str) -> Any:
        """A value that turns something on or off; ``UNKNOWN`` when the program's word for it is ignored."""
        roots = {re.split(r"[.\[]", path)[0] for path in self.ignored}
        return UNKNOWN if roots & {name, "*"} else self.value(name)

    def text(self, *path: str) -> str | None:
        """The value at a path when it is a known text."""
        value = self.value(*path)
        return value if isinstance(value, str) else None

    def texts(self, *path: str) -> list[str]:
        """The known texts of a property that holds one, or a list."""
        value = self.value(*path)
        return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]

    def number(self, *path: str, unset: float | None = None) -> float | None:
        """The value at a path when it is a known number, ``unset`` when there is none."""
        value = self.value(*path)
        return unset if value is None else value if isinstance(value, int | float) else None

    def is_named_by(self, text: str) -> bool:
        """Is this resource what an ARN, URL, id or name means?"""
        if text in map(self.text, NAMES):
            return True
        if self.type == QUEUE:
            meant = Address.read(text)
            return meant is not None and self._address.agrees(meant)
        if "://" in text or (text.startswith("arn:") and not self._is_of_the_service_of(text)):
            return False
        # A known ARN decides, region and account too (a function's or task's may go on with a qualifier); until it is
        # known, the same name is the same thing.
        whole = self.text("arn") if text.startswith("arn:") else None
        if whole is not None:
            return text.startswith(f"{whole}:")
        return bool(_names_in(text) & {self.text("name"), self.text("family")})

    @property
    def _address(self) -> Address:
        known = Address.read(self.text("arn")) or Address.read(self.text("url"))
        return known or Address(None, None, self.text("name"))

    def _is_of_the_service_of(self, arn: str) -> bool:
        """Is an ARN one of this resource's AWS service? A stream and a queue may have one name."""
        provider, _, module = self.type.partition(":")
        return provider != "aws" or f"{arn}:::".split(":")[2] == module.split("/")[0]


@dataclass(frozen=True)
class Queue:
    """A queue of the stack, or one that the stack only names.

    Attributes:
        key: what distinguishes it from other queues: its ARN, or its URN while the ARN is unknown.
        resource: None outside the stack.
    """

    key: str
    resource: Resource | None = field(compare=False)

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        return self.resource.name if self.resource else self.key

    @property
    def names(self) -> frozenset[str]:
        """Everything that a person may call it: its names in the program and in AWS, its URN, its ARN."""
        of_resource = (self.resource.name, self.resource.urn, self.resource.text("name")) if self.resource else ()
        return frozenset(filter(None, (self.key, *of_resource)))

    @property
    def fifo(self) -> bool | None:
        """Is it FIFO? None when that is unknown. FIFO names end in ``.fifo``, and no others."""
        if self.resource is None:
            return self.key.endswith(".fifo")
        fifo = self.resource.value("fifoQueue")
        if fifo is True or (self.resource.text("name") or "").endswith(".fifo"):
            return True
        return None if fifo is UNKNOWN else False

    def is_named_by(self, text: str) -> bool:
        """Is it what an ARN, URL or (in the stack) name means?"""
        if self.resource is not None:
            return self.resource.is_named_by(text)
        own, meant = Address.read(self.key), Address.read(text)
        return own is not None and meant is not None and own.agrees(meant)

    def is_covered_by(self, pattern: str) -> bool:
        """Is it one of several that a pattern of ARNs means?"""
        if self.key.startswith("arn:"):
            return fnmatchcase(self.key, pattern)
        # Until its ARN is known, what the pattern says of partition, region and account is taken to be right.
        _, partition, _, region, account, last, *_ = [*pattern.split(":"), "", "", "", "", ""]
        name = (self.resource.text("name") if self.resource else None) or last
        return fnmatchcase(f"arn:{partition}:sqs:{region}:{account}:{name}", pattern)


class Graph:
    """All resources of a stack, and its queues by their keys."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources = {resource.urn: resource for resource in resources}
        self._by_type: dict[str, list[Resource]] = defaultdict(list)
        self._by_name: dict[tuple[str, str], dict[str, Resource]] = defaultdict(dict)
        self._beneath: dict[str, set[str]] = defaultdict(set)
        for resource in self.resources.values():
            self._by_type[resource.type].append(resource)
            for name in filter(None, map(resource.text, NAMES)):
                self._by_name[resource.type, name][resource.urn] = resource
            for parent in self._parents(resource):
                self._beneath[parent].add(resource.urn)
        self.queues: dict[str, Queue] = {}
        self._keys: dict[str, str] = {}
        self._outside: dict[str | None, list[Queue]] = defaultdict(list)
        for resource in self.of(QUEUE):
            key = self._keys[resource.urn] = resource.text("arn") or resource.urn
            self.queues.setdefault(key, Queue(key, resource))
        for arn in sorted({arn for item in self.resources.values() for arn in _queue_arns_in(item.properties)}):
            if not self.queues_named(arn):
                queue = self.queues[arn] = Queue(arn, None)
                self._outside[arn.rsplit(":", 1)[-1]].append(queue)

    @property
    def types(self) -> frozenset[str]:
        """The types of which there are resources."""
        return frozenset(self._by_type)

    def of(self, *types: str) -> list[Resource]:
        """Resources of these types."""
        return [resource for kind in types for resource in self._by_type.get(kind, ())]

    def made_of(self, resource: Resource, name: str) -> frozenset[str]:
        """URNs that a property's value was made of; a component represents its children."""
        urns = resource.property_dependencies.get(name, frozenset())
        return urns.union(*(self._beneath.get(urn, ()) for urn in urns))

    def named(self, text: str, *types: str) -> list[Resource]:
        """Resources of these types that an ARN, URL, id or name means."""
        names = {text, *_names_in(text)}
        found = {
            urn: item for kind in types for name in names for urn, item in self._by_name.get((kind, name), {}).items()
        }
        return [item for item in found.values() if item.is_named_by(text)]

    def referred(self, resource: Resource, name: str, *types: str, path: tuple[str, ...] = ()) -> list[Resource]:
        """Resources of these types that a property refers to, by its value or else by its dependencies.

        With ``path``, by what the property holds there; Pulumi gives dependencies of whole properties only.
        """
        named = [item for text in resource.texts(name, *path) for item in self.named(text, *types)]
        if named:
            return named
        made_of = (self.resources.get(urn) for urn in sorted(self.made_of(resource, name)))
        return [item for item in made_of if item is not None and item.type in types]

    def queues_named(self, text: str) -> list[Queue]:
        """Queues that an ARN, URL or (in the stack) name means."""
        inside = [self.queues[self._keys[item.urn]] for item in self.named(text, QUEUE)]
        meant = None if inside else Address.read(text)
        if meant is None:
            return inside
        return [queue for queue in self._outside.get(meant.name, ()) if queue.is_named_by(text)]

    def queues_among(self, urns: Iterable[str]) -> list[Queue]:
        """The queues of the stack among these resources."""
        return list({self.queues[self._keys[urn]]: None for urn in sorted(urns) if urn in self._keys})

    def referred_queues(self, resource: Resource, name: str, *path: str) -> list[Queue]:
        """Queues that a property refers to: one, or several when its value is unknown and made of several."""
        value = resource.value(name, *path)
        texts = resource.texts(name, *path)
        if texts:
            return list({queue: None for text in texts for queue in self.queues_named(text)})
        unknown = value is UNKNOWN or (isinstance(value, list) and UNKNOWN in value)
        return self.queues_among(self.made_of(resource, name)) if unknown else []

    def _parents(self, resource: Resource) -> Iterator[str]:
        parent, seen = resource.parent, set[str]()
        # A state that was edited by hand may hold a cycle.
        while parent and parent not in seen:
            yield parent
            seen.add(parent)
            parent = self.resources[parent].parent if parent in self.resources else None


def _names_in(text: str) -> set[str]:
    """The name at the end of an ARN, URL or path, and the one before a qualifier (``family:3``, ``function:alias``)."""
    return set(text.rsplit("/", 1)[-1].split(":")[-2:])


def _queue_arns_in(value: Any) -> Iterator[str]:
    """The ARNs of queues in every text of a value."""
    if isinstance(value, str):
        if ":sqs:" in value:
            yield from QUEUE_ARN.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _queue_arns_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _queue_arns_in(item)


def parsed(value: Any) -> Any:
    """What a text of JSON holds; ``None`` when it is none. Other values as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
