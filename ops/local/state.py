"""What is kept of a stack between updates: one JSON file. It knows no resource type and makes no calls."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from pipeline.files import replace_file

RECORD_FILE = "record.json"
"""Where Pulumi's engine keeps an ``UpdateRecord`` beside its own state."""


@dataclass(kw_only=True)
class ResourceState:
    """What is known of a resource that exists."""

    type: str
    name: str
    identifier: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    order: int
    dependencies: list[str] = field(default_factory=list)
    before_delete: list[str] = field(default_factory=list)
    protect: bool = False
    attempted: dict[str, Any] | None = None
    """Inputs of an update that has not ended well: it may have taken effect or not, so the next one is made anyway."""


@dataclass(kw_only=True)
class UpdateRecord:
    """What is known of a stack's updates, whichever engine makes them.

    Attributes:
        outputs: of the last update that ended well; one that failed or was interrupted leaves them as they were.
        updates: how many updates have begun to change something, whoever made them.
        unfinished: the consumer that an update chose which has begun and has not ended well; None when there is none.
    """

    outputs: dict[str, Any] = field(default_factory=dict)
    updates: int = 0
    unfinished: str | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record in ``path``; an empty one when there is none."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Replace the file as a whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(asdict(self), indent=1))


@dataclass(kw_only=True)
class StackState(UpdateRecord):
    """All resources of the stack by URN, beside its record; the file is replaced after every step.

    Attributes:
        replaced: URN and what it was before it was made again; each is deleted at the end of an update.
    """

    resources: dict[str, ResourceState] = field(default_factory=dict)
    replaced: list[tuple[str, ResourceState]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The state in ``path``; empty when there is none. One of an older program lacks some of it."""
        if not path.exists():
            return cls()
        content = json.loads(path.read_text())
        resources = {urn: ResourceState(**item) for urn, item in content.pop("resources").items()}
        replaced = [(urn, ResourceState(**item)) for urn, item in content.pop("replaced", [])]
        return cls(resources=resources, replaced=replaced, **content)
