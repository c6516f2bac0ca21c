"""A small program on either engine, with provisioners in memory; what they are asked is what tests compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from ops.local.engines import Engine
from ops.local.engines.in_process import InProcess
from ops.local.engines.pulumi_cli import PulumiCli
from ops.local.engines.steps import Step, Told
from ops.local.provisioners import Registry
from tests.local.things import HEAD, THING, Things

CONFIG = {"tests:color": "red"}


EngineOfTest = TypeVar("EngineOfTest", bound=Engine)


class SmallStack(Generic[EngineOfTest]):
    """One stack, updated as often as a test wants; subclasses say by which engine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.things = Things()
        self.registry = Registry({THING: self.things}, {})
        self.program = directory / "__main__.py"
        (directory / "Pulumi.yaml").write_text("name: tests\nruntime: python\n")
        self.engine: EngineOfTest = self.make()
        self.begun: list[bool] = []

    def make(self) -> EngineOfTest:
        raise NotImplementedError

    def run(self, body: str, **options: Any) -> list[Step]:
        """Update; the steps that it told. ``things.calls`` is what the provisioners were asked."""
        steps: list[Step] = []
        self.declare(body)
        self.things.calls.clear()
        self.begun.clear()
        told = Told(on_step=steps.append, on_begin=lambda: self.begun.append(True))
        self.engine.update(self.registry, CONFIG, told, **options)
        return steps

    def declare(self, body: str) -> None:
        self.program.write_text(HEAD + body)


class InProcessStack(SmallStack[InProcess]):
    def make(self) -> InProcess:
        return InProcess(self.directory / "stack.json", self.program, project="tests", stack="local")


class RealStack(SmallStack[PulumiCli]):
    def make(self) -> PulumiCli:
        return PulumiCli(self.directory / "pulumi", self.program, project="tests", stack="local", packages=["test"])

    def resources(self) -> dict[str, dict[str, Any]]:
        """Of the engine's own state, by name."""
        return {item["urn"].split("::")[-1]: item for item in self.engine._resources() if item.get("custom")}


def called(steps: Sequence[Step]) -> list[tuple[str, str]]:
    return sorted((step.operation, step.name) for step in steps if step.operation != "hook")
