"""The whole program on the real engine and the emulator: one stack for all tests of a file, and its event stream."""

import os
import runpy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from ops.local.engines import events
from ops.local.engines.pulumi_cli import PulumiCli
from ops.local.engines.steps import Step
from ops.local.provisioners.context import Context, make_client
from ops.local.provisioners.registry import build_registry
from ops.local.stack import PROJECT, SOURCE, STACK, LocalStack
from tests.policy.recorded import PROGRAMS

SHORT = {
    "lambda": {"timeoutSeconds": 2, "maximumConcurrency": 2},
    "handover": {"timeoutSeconds": 3, "pollSeconds": 0.2, "quietSeconds": 0.5},
    "queue": {"visibilityTimeoutSeconds": 12},
    "ecs": {"maximumTasks": 1, "stopTimeoutSeconds": 10},
}
"""Settings under which a switch waits no longer than it must."""
MAPPING, SERVICE, SCALING, LOCK = "embed-lambda-maps-embed", "worker-service", "worker-scaling", "embed-lock"
EVERYTHING = os.environ.get("ENGINE_TESTS") == "all"
"""Whether the long list is asked for; ``make torture`` does."""
long_list = pytest.mark.skipif(not EVERYTHING, reason="of the long list, which `make torture` runs")
SWITCHES: Mapping[str | None, tuple[str, ...]] = {"lambda": (MAPPING,), "ecs": (SERVICE, SCALING), None: ()}
"""What turns a consumer of the main queue on and off."""
MAIN = {"lambda": "lambda", "ecs": "ecs", "none": None, "hybrid": "lambda"}
"""The setting's value to who consumes the main queue."""


class Live:
    """A running stack.

    Args:
        directory: of its state.
    """

    def __init__(self, directory: Path) -> None:
        self.stack = LocalStack(directory)
        self.events: list[automation.EngineEvent] = []

    def update(self, consumer: str, **settings: Any) -> list[Step]:
        """What ``receipts local up`` does; the steps that changed something."""
        self.events.clear()
        with pytest.MonkeyPatch.context() as patched:
            hear = events.Listener.hear

            def listen(listener: events.Listener, event: automation.EngineEvent) -> None:
                self.events.append(event)
                hear(listener, event)

            patched.setattr(events.Listener, "hear", listen)
            return list(self.stack.up({"embedConsumer": consumer, **settings}).changes)

    @contextmanager
    def opened(self, consumer: str, **settings: Any) -> Iterator[automation.Stack]:
        """The stack by the Automation API, for what ``receipts`` has no command for."""
        engine = self.stack._engine()
        assert isinstance(engine, PulumiCli)
        config = self.stack._config({**self.stack.settings(), "embedConsumer": consumer, **settings})
        with self.stack._registry() as registry, engine.opened(registry, config) as opened:
            yield opened

    def began(self, name: str) -> int:
        """The position in the event stream at which a resource's change began."""
        return self._position(lambda event: _changes(event.resource_pre_event, name))

    def ended(self, name: str) -> int:
        """The position at which it had ended."""
        return self._position(lambda event: _changes(event.res_outputs_event, name))

    def hooked(self) -> int:
        """The position at which the hook of the lock was called: the first call after the lock's change began.

        The engine tells of a hook only that a callback is invoked.
        """
        began = self.began(LOCK)
        called = (
            event.diagnostic_event and event.diagnostic_event.message.startswith("Invoke callback")
            for event in self.events
        )
        return next(number for number, is_call in enumerate(called) if is_call and number > began)

    def changed(self, name: str) -> bool:
        """Whether a resource was changed."""
        return any(_changes(event.res_outputs_event, name) for event in self.events)

    def _position(self, wanted: Callable[[automation.EngineEvent], object]) -> int:
        return next(number for number, event in enumerate(self.events) if wanted(event))

    def check_order(self, outgoing: str | None, incoming: str | None) -> None:
        """Off, drained, the lock moved, on: in this order, by the engine's own events."""
        if outgoing == incoming:
            assert not self.changed(LOCK)
            return
        drained = self.hooked()
        off, on = ([name for name in SWITCHES[host] if self.changed(name)] for host in (outgoing, incoming))
        assert bool(off) == bool(SWITCHES[outgoing])
        assert bool(on) == bool(SWITCHES[incoming])
        assert all(self.ended(name) < drained for name in off)
        assert self.began(LOCK) < drained < self.ended(LOCK)
        assert all(self.ended(LOCK) < self.began(name) for name in on)

    def mapping(self) -> str:
        """The state of the main queue's mapping, as AWS tells it."""
        with client(self.stack, "lambda") as function:
            (found,) = (
                item
                for item in function.list_event_source_mappings()["EventSourceMappings"]
                if item["UUID"] == self.stack.outputs()["embedMappingId"]
            )
        return found["State"]

    def desired_count(self) -> int:
        """The worker's, as AWS tells it."""
        outputs = self.stack.outputs()
        with client(self.stack, "ecs") as ecs:
            (found,) = ecs.describe_services(cluster=outputs["clusterName"], services=[outputs["serviceName"]])[
                "services"
            ]
        return found["desiredCount"]


@contextmanager
def client(stack: LocalStack, service: str) -> Iterator[Any]:
    """A client of the stack's emulator."""
    made = make_client(service, stack.client_options())
    try:
        yield made
    finally:
        made.close()


@contextmanager
def nobody_at_home(directory: Path, settings: Mapping[str, Any]) -> Iterator[automation.Stack]:
    """A new stack whose AWS does not exist: whatever asks it fails."""
    stack = LocalStack(directory)
    directory.mkdir(parents=True)
    (directory / "ports.json").write_text('{"emulator": 9, "supervisor": 9}')
    context = Context(
        endpoint="http://127.0.0.1:9", supervisor=stack._supervisor, source=SOURCE, state_directory=directory
    )
    engine = PulumiCli(directory / "pulumi", SOURCE / "__main__.py", project=PROJECT, stack=STACK)
    with engine.opened(build_registry(context), stack._config(settings)) as opened:
        yield opened


def counted(summary: Mapping[Any, int]) -> dict[str, int]:
    """Operations by their names."""
    return {str(getattr(operation, "value", operation)): number for operation, number in summary.items()}


def _changes(event: Any, name: str) -> bool:
    return bool(
        event and event.metadata.urn.endswith(f"::{name}") and event.metadata.op not in ("same", "read", "refresh")
    )


def by_hand(name: str) -> Callable[[], None]:
    """One of the small programs of the policy tests."""

    def program() -> None:
        runpy.run_path(str(PROGRAMS / f"{name}.py"), run_name="__main__")

    return program


def judgements(
    stack: automation.Stack,
    pack: Path,
    program: Callable[[], None] | None = None,
    *,
    events: list[automation.EngineEvent] | None = None,
) -> tuple[list[tuple[str, str, str]], Exception | None]:
    """Preview with the pack: its policies' names, levels and messages, and the error if the preview failed."""
    events = [] if events is None else events
    error: Exception | None = None
    try:
        stack.preview(policy_packs=[str(pack)], on_event=events.append, program=program)
    except automation.CommandError as failed:
        error = failed
    told = [event.policy_event for event in events if event.policy_event]
    return [(item.policy_name, item.enforcement_level, item.message) for item in told], error
