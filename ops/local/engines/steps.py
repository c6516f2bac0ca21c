"""What an engine says of an update: one step a resource, and the one error that stops it. It decides nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Operation = Literal["create", "update", "replace", "delete", "same", "hook"]
STACK_TYPE = "pulumi:pulumi:Stack"
SUMMARY_LIMIT = 60


class EngineError(Exception):
    """The program or a step failed; what succeeded before is in the state."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One resource and what was done about it.

    Attributes:
        summary: the properties that changed, or the hook that was run before or after.
        at: when it ended, in seconds since the epoch.
    """

    operation: Operation
    type: str
    name: str
    urn: str
    summary: str = ""
    at: float = field(default_factory=time.time)

    @property
    def line(self) -> str:
        """The resource and what changed, for people."""
        return f"{self.type} {self.name}  {self.summary}"


@dataclass(frozen=True, kw_only=True)
class Told:
    """Whom an engine tells.

    Attributes:
        on_step: called with every step as it ends.
        on_begin: called once, right before the first change; never called when the program or its settings are
            refused before anything has changed.
    """

    on_step: Callable[[Step], object] = id
    on_begin: Callable[[], object] = lambda: None


NOBODY = Told()


def tell_change(key: str, old: object, new: object) -> str:
    """``key: old -> new`` where that fits a line; only that it changed where it does not."""
    shown = f"{key}: {_plain(old)} -> {_plain(new)}"
    return shown if len(shown) <= SUMMARY_LIMIT else f"{key} changed"


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
