"""Which queues a program knows, by variables, arguments or a script. What the program may do is decided elsewhere."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from one_consumer.pack.address import Address
from one_consumer.pack.graph import UNKNOWN, Graph, Queue, Resource

SPEAKS_OF_A_QUEUE: Final = re.compile("queue|sqs", re.IGNORECASE)
ELSEWHERE: Final = ("secrets", "environmentFiles", "envFrom", "valueFrom")
"""Where containers name values that are kept in a parameter, a secret, a file or a config map."""
Word = tuple[str, str]
"""A word, and what precedes it and says what it means: a variable's name, an option, another word."""


@dataclass(frozen=True)
class Knowledge:
    """The queues that a program knows.

    Attributes:
        queues: each with whether the words can mean nothing else.
        readable: False when it may know more than the stack shows: a value is unknown, or kept elsewhere.
        opaque: True when nothing of it can be read yet, and nothing says what it is made of.
    """

    queues: Mapping[Queue, bool] = field(default_factory=dict)
    readable: bool = True
    opaque: bool = False

    @classmethod
    def of(cls, graph: Graph, resource: Resource, name: str, value: Any, words: Iterable[Word]) -> "Knowledge":
        """What is known by the value of a property, or of a part of it, that holds these words."""
        made_of = graph.queues_among(graph.made_of(resource, name))
        hidden = _holds_unknown(value)
        known: dict[Queue, bool] = dict.fromkeys(made_of, True) if hidden else {}
        for word, before in words:
            sure = Address.read(word) is not None or word.endswith(".fifo") or bool(SPEAKS_OF_A_QUEUE.search(before))
            for queue in graph.queues_named(word):
                known[queue] = sure or queue in made_of or known.get(queue, False)
        return cls(known, readable=not hidden and not _is_elsewhere(value), opaque=value is UNKNOWN and not made_of)

    def __or__(self, other: "Knowledge") -> "Knowledge":
        """What two parts of one program know together."""
        queues = dict(self.queues)
        for queue, sure in other.queues.items():
            queues[queue] = sure or queues.get(queue, False)
        return Knowledge(queues, self.readable and other.readable, (self.opaque or other.opaque) and not queues)


def words_of_containers(containers: Any) -> Iterator[Word]:
    """Of containers as ECS, Batch and Kubernetes write them: variables as names and values, and arguments."""
    for container in _mappings(containers):
        for key in ("environment", "environments", "env"):
            for variable in _mappings(container.get(key)):
                yield from _split(variable.get("value"), before=str(variable.get("name")))
        before = ""
        for key in ("entryPoint", "command", "commands", "args"):
            value = container.get(key)
            for text in value if isinstance(value, list) else ():
                if isinstance(text, str):
                    yield from _split(text, before)
                    before = text


def words_of_variables(variables: Any) -> Iterator[Word]:
    """Of variables as Lambda and App Runner write them: values by name."""
    for name, value in variables.items() if isinstance(variables, Mapping) else ():
        yield from _split(value, before=str(name))


def words_of_text(text: Any) -> Iterator[Word]:
    """Of a script or command line, which may be encoded in base64."""
    if isinstance(text, str):
        try:
            plain = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, ValueError):
            plain = text
        yield from _split(plain, before="")


def _split(text: Any, before: str) -> Iterator[Word]:
    if text is None or text is UNKNOWN:
        return
    words = [word for part in re.split(r"[\s=,;'\"{}]+", str(text)) if (word := part.strip(":[]()<>"))]
    yield from ((word, f"{before} {last}") for word, last in zip(words, ["", *words], strict=False))


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Mapping)]


def _holds_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_unknown, value.values()))
    return any(map(_holds_unknown, value)) if isinstance(value, list) else value is UNKNOWN


def _is_elsewhere(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(value.get(key) for key in ELSEWHERE) or any(map(_is_elsewhere, value.values()))
    return any(map(_is_elsewhere, value)) if isinstance(value, list) else False
