"""What the engine keeps of a stack between updates: one JSON file. It knows no resource type and calls nobody."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


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
    attempted: dict[str, Any] | None = None
    """Inputs of an update that has not ended well: it may have taken effect or not, so the next one is made anyway."""


@dataclass(kw_only=True)
class StackState:
    """All resources of the stack by URN, and its outputs; the file is replaced after every step.

    Attributes:
        outputs: of the last update that ended well; one that failed or was interrupted leaves them as they were.
        updates: how many updates have begun to change something, whoever made them.
        unfinished: the consumer that an update chose which has begun and has not ended well; None when there is none.
    """

    resources: dict[str, ResourceState] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    updates: int = 0
    unfinished: str | None = None

    @classmethod
    def read(cls, path: Path) -> "StackState":
        """The state in ``path``; empty when there is none."""
        if not path.exists():
            return cls()
        content = json.loads(path.read_text())
        resources = {urn: ResourceState(**item) for urn, item in content["resources"].items()}
        return cls(
            resources=resources,
            outputs=content["outputs"],
            # A state that was written before these were kept has neither.
            updates=content.get("updates", 0),
            unfinished=content.get("unfinished"),
        )

    def write(self, path: Path) -> None:
        """Replace the file as a whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        content = {
            "resources": {urn: asdict(item) for urn, item in self.resources.items()},
            "outputs": self.outputs,
            "updates": self.updates,
            "unfinished": self.unfinished,
        }
        partial.write_text(json.dumps(content, indent=1))
        partial.replace(path)
