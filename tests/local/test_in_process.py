"""What the engine does with a program; a slip here leaves resources behind or makes them twice.

This is also the contract test of the interfaces of ``pulumi.runtime`` that are half private (mocks, settings,
run_in_stack, sync_await): when another version of Pulumi changes one of them, these tests fail first.
"""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.local.engines.in_process import evaluate
from ops.local.engines.monitor import ProvisioningMonitor
from ops.local.engines.steps import EngineError, Told
from ops.local.provisioners import Registry
from ops.local.state import StackState
from tests.local.things import HEAD, HOOKED, THING, Things


class EvaluatedStack:
    """One stack, evaluated as often as a test wants."""

    def __init__(self, directory: Path) -> None:
        self.things = Things()
        self.state_file = directory / "state" / "stack.json"
        self._program = directory / "__main__.py"
        self._registry = Registry({THING: self.things}, {})

    def monitor(self, on_begin: Callable[[], object] = lambda: None, **options: Any) -> ProvisioningMonitor:
        told = Told(on_begin=on_begin)
        return ProvisioningMonitor(self._registry, self.state_file, told, **options)

    def run(self, body: str, monitor: ProvisioningMonitor | None = None) -> ProvisioningMonitor:
        self._program.write_text(HEAD + body)
        monitor = monitor or self.monitor()
        self.things.calls.clear()
        evaluate(self._program, project="tests", stack="local", config={"tests:color": "red"}, monitor=monitor)
        return monitor

    def kept(self) -> set[str]:
        return {item["name"] for item in json.loads(self.state_file.read_text())["resources"].values()}


@pytest.fixture
def world(tmp_path: Path) -> EvaluatedStack:
    return EvaluatedStack(tmp_path)


def operations(monitor: ProvisioningMonitor) -> dict[str, str]:
    return {step.name: step.operation for step in monitor.steps}


def test_what_is_declared_is_created_once_and_then_left_alone(world):
    assert operations(world.run('Thing("a", size=1)')) == {"a": "create"}
    again = world.run('Thing("a", size=1)')
    assert operations(again) == {"a": "same"}
    assert world.things.calls == []


def test_a_change_is_made_in_place_and_says_what_changed(world):
    world.run('Thing("a", size="small")')
    (step,) = world.run('Thing("a", size="large")').steps
    assert step.operation == "update"
    assert all(word in step.summary for word in ("size", "small", "large"))
    assert world.things.calls == ["update a"]


def test_what_cannot_change_in_place_is_replaced(world):
    world.run('Thing("a", shape="round")')
    (step,) = world.run('Thing("a", shape="square")').steps
    assert step.operation == "replace"
    assert world.things.calls == ["create a", "delete a"]
    assert world.kept() == {"a"}


def test_what_is_no_longer_declared_is_deleted_last_and_the_newest_first(world):
    world.run('a = Thing("a")\nb = Thing("b", of=a.label)\nThing("c", of=b.label)')
    world.run('Thing("d")')
    assert world.things.calls == ["create d", "delete c", "delete b", "delete a"]
    assert world.kept() == {"d"}


def test_everything_can_be_deleted_and_the_newest_goes_first(world):
    world.run('a = Thing("a")\nThing("b", of=a.label)\npulumi.export("x", 1)')
    world.things.calls.clear()
    world.monitor().delete_all()
    assert world.things.calls == ["delete b", "delete a"]
    kept = json.loads(world.state_file.read_text())
    assert (kept["resources"], kept["outputs"]) == ({}, {})


def test_a_resource_waits_for_what_it_depends_on(world):
    world.run('a = Thing("z")\nb = Thing("y", opts=pulumi.ResourceOptions(depends_on=[a]))\nThing("x", of=b.label)')
    assert world.things.calls == ["create z", "create y", "create x"]


def test_open_outputs_are_not_handed_to_be_waited_for_again_and_again(world, monkeypatch):
    handed: list[int] = []
    original = asyncio.wait

    async def counted(tasks: Any, **options: Any) -> Any:
        handed.append(len(tasks))
        return await original(tasks, **options)

    monkeypatch.setattr(asyncio, "wait", counted)
    chain = "before = None\nfor number in range(40):\n    before = Thing(f'thing{number}', of=before).id\n"
    assert len(world.run(chain).steps) == 40
    # By Pulumi's own loop alone it is thousands.
    assert sum(handed) < 100, sum(handed)


def test_two_resources_of_one_name_are_refused(world):
    with pytest.raises(Exception, match="duplicate URN"):
        world.run('Thing("a")\nThing("a")')


def test_a_type_that_nothing_provides_is_refused_with_its_name(world):
    with pytest.raises(Exception, match="test:index:Other"):
        world.run('Thing("a", kind="test:index:Other")')
    assert world.things.calls == []


def test_a_failed_step_keeps_what_succeeded_and_the_next_run_continues(world):
    program = 'a = Thing("a")\nThing("b", of=a.label)'
    world.things.broken = {"b"}
    with pytest.raises(Exception, match="b: RuntimeError: the power went out"):
        world.run(program)
    assert world.kept() == {"a"}
    world.things.broken = set()
    assert operations(world.run(program)) == {"a": "same", "b": "create"}
    assert world.kept() == {"a", "b"}


@pytest.mark.parametrize("next_size", [1, 2])
def test_an_update_that_failed_may_have_taken_effect_and_is_made_again_whatever_is_wanted_then(world, next_size):
    """A service whose count became 1 before the update broke must be set to 0 by the way back."""
    world.run('Thing("a", size=1)')
    world.things.broken = {"a"}
    with pytest.raises(EngineError):
        world.run('Thing("a", size=2)')
    world.things.broken = set()
    again = world.run(f'Thing("a", size={next_size})')
    assert operations(again) == {"a": "update"}
    assert world.things.calls == ["update a"]
    assert operations(world.run(f'Thing("a", size={next_size})')) == {"a": "same"}


def test_what_has_a_name_is_deleted_before_it_is_made_again(world):
    world.run('Thing("a", shape="round", called="only")')
    (step,) = world.run('Thing("a", shape="square", called="only")').steps
    assert step.operation == "replace"
    assert world.things.calls == ["delete a", "create a"]
    world.run('Thing("a", shape="round", called="other")')
    assert world.things.calls == ["create a", "delete a"]


@pytest.mark.parametrize(
    ("name", "left"), [("", {"a"}), (', called="only"', set())], ids=["create first", "delete first"]
)
def test_a_replacement_that_fails_half_way_leaves_what_the_state_claims(world, name, left):
    world.run(f'Thing("a", shape="round"{name})')
    world.things.broken = {"a"}
    with pytest.raises(Exception, match="the power went out"):
        world.run(f'Thing("a", shape="square"{name})')
    assert world.kept() == left
    world.things.broken = set()
    assert operations(world.run(f'Thing("a", shape="round"{name})')) == {"a": "same" if left else "create"}


def test_what_was_replaced_and_not_yet_deleted_is_deleted_by_the_next_update(world):
    world.run('Thing("a", shape="round")\nThing("b")')
    world.things.broken_deletions = True
    with pytest.raises(EngineError, match="deleting"):
        world.run('Thing("a", shape="square")\nThing("b")')
    world.things.broken_deletions = False
    world.run('Thing("a", shape="square")\nThing("b")')
    assert world.things.calls == ["delete a"]
    assert world.kept() == {"a", "b"}


def test_what_is_protected_is_neither_deleted_nor_made_again(world):
    protected = 'Thing("a", shape="{}", opts=pulumi.ResourceOptions(protect=True))'
    world.run(protected.format("round") + '\nThing("b")')
    for change in (lambda: world.run(protected.format("square")), lambda: world.run(""), world.monitor().delete_all):
        world.things.calls.clear()
        with pytest.raises(EngineError, match=r"Thing a: protected.*Way out"):
            change()
        assert world.things.calls == []
    world.run('Thing("a", shape="round")\nThing("b")')
    world.monitor().delete_all()
    assert world.kept() == set()


def test_what_does_not_depend_on_each_other_is_deleted_at_the_same_time_and_a_failure_keeps_its_dependencies(world):
    world.run('a = Thing("a")\nb = Thing("b", of=a.label)\nThing("c")\nThing("d")')
    world.things.stubborn = "b"
    world.things.meeting = threading.Barrier(2, timeout=20)
    world.things.meets = {"c", "d"}
    with pytest.raises(EngineError, match="deleting test:index:Thing b"):
        world.run("")
    assert world.kept() == {"a", "b"}


def test_what_was_replaced_is_still_deleted_after_its_dependents(world):
    for shape in ("round", "square"):
        world.run(f'a = Thing("a", shape="{shape}")\nThing("b", of=a.label)')
    world.things.calls.clear()
    world.monitor().delete_all()
    assert world.things.calls == ["delete b", "delete a"]


def test_exports_are_kept_with_settings_and_computed_values_in_them(world):
    world.run('pulumi.export("label", Thing("a").label)\npulumi.export("color", pulumi.Config().require("color"))')
    assert json.loads(world.state_file.read_text())["outputs"] == {"label": "label of a", "color": "red"}


def test_one_process_can_evaluate_many_times_even_after_a_program_fails(world):
    for size in range(5):
        world.run(f'Thing("a", size="{size}")\npulumi.export("size", "{size}")')
        with pytest.raises(ZeroDivisionError):
            world.run('Thing("a")\n1 / 0')
    assert operations(world.run('Thing("b")')) == {"b": "create", "a": "delete"}


class Hooked:
    """A world whose programs have one hook for every moment; ``log`` is what was called."""

    def __init__(self, world: EvaluatedStack, directory: Path) -> None:
        self.world, self.log = world, directory / "hooks.log"

    def run(self, body: str, fail: str = "") -> list[str]:
        self.log.write_text("")
        self.world.run(HOOKED.format(log=str(self.log), fail=fail) + body)
        return self.called()

    def called(self) -> list[str]:
        return [line.split()[0] for line in self.log.read_text().splitlines()]


@pytest.fixture
def hooked(world: EvaluatedStack, tmp_path: Path) -> Hooked:
    return Hooked(world, tmp_path)


BOUND = 'Thing("a", size={size}, opts=pulumi.ResourceOptions(hooks=binding))'


def test_hooks_run_around_what_is_done_and_only_then(hooked):
    assert hooked.run(BOUND.format(size=1)) == ["before_create", "after_create"]
    assert hooked.run(BOUND.format(size=1)) == []
    assert hooked.run(BOUND.format(size=2)) == ["before_update", "after_update"]
    assert hooked.run("") == ["before_delete"]
    assert hooked.world.things.calls == ["delete a"]
    assert "before_delete a test:index:Thing None" in hooked.log.read_text()


def test_a_hook_is_told_the_inputs_that_are_to_come(hooked):
    hooked.run(BOUND.format(size=1))
    assert {line.split()[-1] for line in hooked.log.read_text().splitlines()} == {"1.0"}
    hooked.run(BOUND.format(size=2))
    assert {line.split()[-1] for line in hooked.log.read_text().splitlines()} == {"2.0"}


@pytest.mark.parametrize(
    ("moment", "body"),
    [("before_create", BOUND.format(size=1)), ("before_update", BOUND.format(size=2)), ("before_delete", "")],
)
def test_a_hook_that_fails_stops_what_it_stands_before(hooked, moment, body):
    hooked.run("" if moment == "before_create" else BOUND.format(size=1))
    before = hooked.world.kept()
    with pytest.raises(EngineError, match=f"{moment}: not yet"):
        hooked.run(body, fail=moment)
    assert hooked.called() == [moment]
    assert hooked.world.things.calls == []
    assert hooked.world.kept() == before
    assert len(hooked.run(body)) > 0


def test_what_depends_on_a_resource_whose_hook_fails_is_left_alone(hooked):
    body = 'a = Thing("a", opts=pulumi.ResourceOptions(hooks=binding))\nThing("b", of=a.label)'
    with pytest.raises(EngineError, match="not yet"):
        hooked.run(body, fail="before_create")
    assert hooked.world.things.calls == []


def test_a_deletion_whose_hook_the_program_does_not_register_any_more_is_refused(hooked):
    hooked.run(BOUND.format(size=1))
    with pytest.raises(EngineError, match="before_delete is not registered"):
        hooked.world.run("")
    assert hooked.world.kept() == {"a"}


def test_destroying_runs_no_hook(hooked):
    hooked.run(BOUND.format(size=1))
    hooked.log.write_text("")
    hooked.world.monitor().delete_all()
    assert hooked.called() == []
    assert hooked.world.things.calls[-1] == "delete a"


INTERRUPTED_HOOK = """
import asyncio, os, signal

async def wait(args):
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)

binding = pulumi.ResourceHookBinding(before_update=[pulumi.ResourceHook("wait", wait)])
"""
EXPORTED = 'thing = Thing("a", size={size})\npulumi.export("size", {size})\n'


@pytest.fixture
def _interrupts_arrive() -> Iterator[None]:
    # A shell starts what runs in the background with interrupts ignored, and the tests with it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupts_arrive")
@pytest.mark.parametrize("place", ["refused before anything", "failed at a step", "interrupted in a hook"])
def test_an_update_that_does_not_end_keeps_the_outputs_of_the_last_one_that_did(world, place):
    world.run(EXPORTED.format(size=1))
    begun: list[bool] = []
    monitor = world.monitor(on_begin=lambda: begun.append(True), choice="ecs")
    body = EXPORTED.format(size=2)
    if place == "refused before anything":
        body += 'raise ValueError("refused")\n'
    elif place == "failed at a step":
        world.things.broken.add("a")
    else:
        body = INTERRUPTED_HOOK + body.replace("size=2", "size=2, opts=pulumi.ResourceOptions(hooks=binding)")
    started = time.monotonic()
    with pytest.raises((ValueError, EngineError, KeyboardInterrupt)):
        world.run(body, monitor)
    assert time.monotonic() - started < 30, "Ctrl-C waits for no hook"
    kept = StackState.read(world.state_file)
    assert kept.outputs == {"size": 1}
    changed = place != "refused before anything"
    assert begun == [True] * changed
    assert (kept.updates, kept.unfinished) == (1 + changed, "ecs" if changed else None)
    world.things.broken.clear()
    world.run(EXPORTED.format(size=3))
    ended = StackState.read(world.state_file)
    assert (ended.outputs, ended.unfinished, ended.updates) == ({"size": 3}, None, 2 + changed)


def test_a_state_of_an_older_program_is_read(world):
    world.run(EXPORTED.format(size=1))
    content = json.loads(world.state_file.read_text())
    del content["updates"], content["unfinished"]
    world.state_file.write_text(json.dumps(content))
    assert operations(world.run(EXPORTED.format(size=1))) == {"a": "same"}
