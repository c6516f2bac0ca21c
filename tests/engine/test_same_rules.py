"""Both engines do the same with the same program. Where they differ, what a newcomer tries is not what AWS gets.

Each difference that is left is a test of its own at the end, and its name says it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.local.engines.steps import EngineError
from tests.engine.live import long_list
from tests.engine.small import CONFIG, InProcessStack, RealStack, SmallStack, called
from tests.local.things import HOOKED

BEFORE = """
a = Thing("updated", size=1, opts=pulumi.ResourceOptions(hooks=binding))
Thing("dependent", of=a.label)
Thing("replaced", shape="round", opts=pulumi.ResourceOptions(hooks=binding))
Thing("named", shape="round", called="only", opts=pulumi.ResourceOptions(hooks=binding))
old = Thing("deleted", opts=pulumi.ResourceOptions(hooks=binding))
Thing("deleted-first", of=old.label)
Thing("same", size=1)
pulumi.export("label", a.label)
"""
AFTER = """
a = Thing("updated", size=2, opts=pulumi.ResourceOptions(hooks=binding))
Thing("dependent", of=a.label)
Thing("replaced", shape="square", opts=pulumi.ResourceOptions(hooks=binding))
Thing("named", shape="square", called="only", opts=pulumi.ResourceOptions(hooks=binding))
Thing("same", size=1)
pulumi.export("label", a.label)
"""


class Both:
    """The same on either engine."""

    def __init__(self, directory: Path) -> None:
        self.worlds: list[SmallStack] = []
        for kind in (InProcessStack, RealStack):
            place = directory / kind.__name__
            place.mkdir()
            self.worlds.append(kind(place))

    def each(self, look: Callable[[SmallStack], Any]) -> Any:
        """What both give, which is the same."""
        here, there = (look(world) for world in self.worlds)
        assert here == there
        return here


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def order(calls: list[str], name: str) -> list[str]:
    return [call for call in calls if call.endswith(f" {name}")]


def test_creations_updates_replacements_deletions_and_their_hooks_are_the_same(both):
    def run(world: SmallStack, body: str) -> tuple[Any, dict[str, Any]]:
        log = world.directory / "hooks.log"
        log.write_text("")
        steps = world.run(HOOKED.format(log=str(log), fail="") + body)
        hooks = [" ".join(line.split()[:2]) for line in log.read_text().splitlines()]
        names = ("updated", "dependent", "replaced", "named", "deleted", "deleted-first", "same")
        return called(steps), {name: (order(world.things.calls, name), order(hooks, name)) for name in names}

    steps, done = both.each(lambda world: run(world, BEFORE))
    assert {operation for operation, _ in steps} == {"create"}
    assert done["updated"] == (["create updated"], ["before_create updated", "after_create updated"])
    steps, done = both.each(lambda world: run(world, AFTER))
    assert steps == [
        ("delete", "deleted"),
        ("delete", "deleted-first"),
        ("replace", "named"),
        ("replace", "replaced"),
        ("same", "dependent"),
        ("same", "same"),
        ("update", "updated"),
    ]
    assert done["replaced"][0] == ["create replaced", "delete replaced"]
    assert done["named"][0] == ["delete named", "create named"]
    for name, (_, hooks) in done.items():
        assert bool(hooks) == (name not in ("dependent", "deleted-first", "same"))
    for world in both.worlds:
        assert world.things.calls.index("delete deleted-first") < world.things.calls.index("delete deleted")
    assert both.each(lambda world: world.engine.record).outputs == {"label": "label of updated"}


def test_an_update_that_failed_is_made_again_whatever_is_wanted_then(both):
    def run(world: SmallStack) -> list[Any]:
        seen: list[Any] = [called(world.run('Thing("a", size=1)'))]
        world.things.broken = {"a"}
        with pytest.raises(EngineError, match="a: RuntimeError: the power went out when it was done"):
            world.run('Thing("a", size=2)', choice="ecs")
        seen += [world.engine.record, list(world.begun)]
        world.things.broken = set()
        return [*seen, called(world.run('Thing("a", size=1)')), world.engine.record]

    created, failed, begun, again, record = both.each(run)
    assert (created, again) == ([("create", "a")], [("update", "a")])
    assert (failed.updates, failed.unfinished, begun) == (2, "ecs", [True])
    assert (record.updates, record.unfinished) == (3, None)


def test_a_program_that_refuses_its_settings_changes_nothing_and_the_caller_gets_its_own_error(both):
    def run(world: SmallStack) -> list[Any]:
        with pytest.raises(ZeroDivisionError):
            world.run('1 / 0\nThing("a")', choice="ecs")
        return [world.things.calls, world.begun, world.engine.record]

    calls, begun, record = both.each(run)
    assert (calls, begun, record.updates, record.unfinished) == ([], [], 0, None)


def test_what_is_protected_is_refused_by_both(both):
    def run(world: SmallStack) -> list[str]:
        protected = 'Thing("a", shape="{}", opts=pulumi.ResourceOptions(protect=True))'
        world.run(protected.format("round"))
        with pytest.raises(EngineError, match="protect"):
            world.run(protected.format("square"))
        with pytest.raises(EngineError, match="protect"):
            world.engine.destroy(world.registry, {})
        return world.things.calls

    assert both.each(run) == []


def test_a_difference_what_was_declared_before_the_program_failed_is_made_by_the_real_engine_alone(both):
    """Python's runtime sends what it holds when the program fails; in-process nothing is begun then."""
    made = []
    for world in both.worlds:
        with pytest.raises(ZeroDivisionError):
            world.run('Thing("a")\n1 / 0')
        made.append(world.things.calls)
    assert made == [[], ["create a"]]


@long_list
def test_a_difference_destroying_runs_hooks_only_by_the_real_engine_which_runs_the_program_for_it(both):
    seen = []
    for world in both.worlds:
        log = world.directory / "hooks.log"
        world.run(HOOKED.format(log=str(log), fail="") + 'Thing("a", opts=pulumi.ResourceOptions(hooks=binding))')
        log.write_text("")
        world.engine.destroy(world.registry, {})
        assert world.things.calls[-1] == "delete a"
        seen.append([line.split()[0] for line in log.read_text().splitlines()])
    assert seen == [[], ["before_delete"]]


@long_list
def test_protection_is_no_wall_a_flag_of_the_engine_lifts_it(real):
    """The runbook says so: what must not be lost is kept by AWS's own protection, not by this one."""
    real.run('Thing("a", opts=pulumi.ResourceOptions(protect=True))')
    with real.engine.opened(real.registry, CONFIG) as stack:
        stack._run_pulumi_cmd_sync(["destroy", "--yes", "--skip-preview", "--ignore-protect"])
    assert real.things.calls[-1] == "delete a"
