"""Small programs and a provisioner in memory, for tests of either engine."""

import threading
from typing import Any

from ops.local.provisioners import InPlace

THING = "test:index:Thing"
HEAD = """
import pulumi

class Thing(pulumi.CustomResource):
    label: pulumi.Output[str]

    def __init__(self, name, kind="test:index:Thing", opts=None, **inputs):
        super().__init__(kind, name, {"label": None, **inputs}, opts)

"""


class Things(InPlace):
    """Resources in memory; ``calls`` is what was done, in order."""

    name_input = "called"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.broken: set[str] = set()
        self.broken_deletions = False
        self.stubborn = ""
        self.meets: set[str] = set()
        self.meeting = threading.Barrier(1)

    def must_replace(self, changed: list[str]) -> bool:
        return "shape" in changed

    def create(self, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if name in self.broken:
            raise RuntimeError("the power went out")
        self.calls.append(f"create {name}")
        return name, {"label": f"label of {name}"}

    def update(self, identifier: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(f"update {identifier}")
        if identifier in self.broken:
            raise RuntimeError("the power went out when it was done")
        return {}

    def delete(self, identifier: str, inputs: dict[str, Any]) -> None:
        if identifier in self.meets:
            self.meeting.wait()
        if self.broken_deletions or identifier == self.stubborn:
            raise RuntimeError("the power went out")
        self.calls.append(f"delete {identifier}")


HOOKED = """
import asyncio, pathlib

LOG = pathlib.Path({log!r})
FAIL = {fail!r}

def hook(name):
    async def call(args):
        await asyncio.sleep(0.01)
        with LOG.open("a") as log:
            log.write(f"{{name}} {{args.name}} {{args.type}} {{(args.new_inputs or {{}}).get('size')}}\\n")
        if name == FAIL:
            raise RuntimeError("not yet")
    return pulumi.ResourceHook(name, call)

hooks = {{moment: [hook(moment)] for moment in (
    "before_create", "after_create", "before_update", "after_update", "before_delete")}}
binding = pulumi.ResourceHookBinding(**hooks)
"""
