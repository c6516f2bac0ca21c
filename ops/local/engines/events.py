"""Reads the event stream of Pulumi's engine: steps as they end, the first change, and what stopped an update."""

from collections.abc import Mapping
from typing import Any

from pulumi import automation

from ops.local.engines.steps import STACK_TYPE, Operation, Step, Told, tell_change
from ops.pulumi_errors import Diagnostics

OPERATIONS: Mapping[str, Operation] = {
    "create": "create",
    "update": "update",
    "same": "same",
    "delete": "delete",
    "create-replacement": "replace",
}
"""Pulumi's operations that are steps; the others are parts of one, or only looks."""
LOOKS = ("same", "read", "refresh")


class Listener:
    """Makes steps of the engine's event stream.

    Args:
        told: who hears of them.
    """

    def __init__(self, told: Told) -> None:
        self._told = told
        self._errors = Diagnostics()
        self.begun = False

    def hear(self, event: automation.EngineEvent) -> None:
        """Take one event."""
        self._errors.note(event)
        if event.resource_pre_event is not None:
            metadata = event.resource_pre_event.metadata
            if not self.begun and metadata.op not in LOOKS and not _is_bookkeeping(metadata):
                self.begun = True
                self._told.on_begin()
        if event.res_outputs_event is not None:
            metadata = event.res_outputs_event.metadata
            if metadata.op in OPERATIONS and not _is_bookkeeping(metadata):
                self._told.on_step(_step(metadata))

    @property
    def cause(self) -> str:
        """What stopped the update, in the words of the diagnostics; empty when there were none."""
        return self._errors.cause()


def _is_bookkeeping(metadata: Any) -> bool:
    """Whether a step makes nothing: the stack itself, a component, or a provider's configuration."""
    state = metadata.new or metadata.old
    return metadata.type == STACK_TYPE or metadata.type.startswith("pulumi:providers:") or not (state and state.custom)


def _step(metadata: Any) -> Step:
    old, new = (dict(state.inputs or {}) if state else {} for state in (metadata.old, metadata.new))
    keys = sorted(key.split(".")[0].split("[")[0] for key in metadata.diffs or ())
    summary = "; ".join(tell_change(key, old.get(key), new.get(key)) for key in dict.fromkeys(keys))
    return Step(
        operation=OPERATIONS[metadata.op],
        type=metadata.type,
        name=metadata.urn.split("::")[-1],
        urn=metadata.urn,
        summary=summary,
    )
