"""What is left when an engine is killed, interrupted, or loses its provider; and what the next command does about it.

A hook that relied on ``finally`` would not have run; an operation that nobody knows the end of would be forgotten.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.local.control import ControlError
from ops.local.engines import cli_process
from ops.switching.pending import require_free
from ops.target import OperatorError
from tests.engine.command import ENTERED, Update
from tests.engine.live import EVERYTHING, long_list
from tests.engine.small import CONFIG, RealStack, called

HOOK = """
import asyncio, pathlib

async def wait(args):
    pathlib.Path({entered!r}).touch()
    try:
        await asyncio.sleep(60)
    finally:
        pathlib.Path({left!r}).touch()

binding = pulumi.ResourceHookBinding(before_update=[pulumi.ResourceHook("wait", wait)])
"""
HOOKED = 'Thing("a", size={}, opts=pulumi.ResourceOptions(hooks=binding))'


def require_free_stack(world: RealStack, *, lock: str = "") -> None:
    """What a switch looks for first. Opening a local stack removes a lock that is left, so it may be put back."""
    with world.engine.opened(world.registry, CONFIG) as stack:
        if lock:
            left = locks(world) / "left.json"
            left.parent.mkdir(parents=True, exist_ok=True)
            left.write_text(lock)
        require_free(stack, "local", "tests")


def locks(world: RealStack) -> Path:
    return world.directory / "pulumi" / "backend" / ".pulumi" / "locks" / "organization" / "tests" / "local"


@pytest.mark.parametrize("killed", ["the engine", *(["the whole command"] if EVERYTHING else [])])
def test_an_engine_killed_while_it_creates_leaves_a_lock_and_a_pending_operation_which_a_switch_names(real, killed):
    real.declare('Thing("a")\nThing("b")')
    update = Update(real, "slow", "create")
    update.await_entered()
    if killed == "the engine":
        update.kill_engine()
        assert update.end().startswith("EngineError")
    else:
        update.kill()
        update.process.communicate()
    record = real.engine.record
    assert (record.updates, record.unfinished, record.outputs) == (1, "ecs", {})
    (lock,) = (file.read_text() for file in locks(real).glob("*.json"))
    with pytest.raises(OperatorError, match=r"OPERATIONS_PENDING.*creating [ab].*refresh --clear-pending-creates"):
        require_free_stack(real)
    with pytest.raises(OperatorError, match=r"STACK_BUSY.*pulumi cancel --stack local"):
        require_free_stack(real, lock=lock)
    # The next update on this machine looks first, and then creates what the state does not have.
    assert {operation for operation, _ in called(real.run('Thing("a")\nThing("b")'))} <= {"create", "same"}
    assert set(real.resources()) >= {"a", "b"}
    require_free_stack(real)


def test_a_state_whose_attributes_were_left_empty_by_a_kill_is_loaded_all_the_same(real):
    real.run('Thing("a")')
    backend = real.directory / "pulumi" / "backend"
    assert not list(backend.rglob("*.attrs")), "an engine that is killed while it writes them leaves no state to load"
    # As the backend left them before it was told to write none.
    state = backend / ".pulumi" / "stacks" / "tests" / "local.json"
    state.with_name("local.json.attrs").touch()
    assert called(real.run('Thing("a", size=2)')) == [("update", "a")]


@long_list
def test_an_engine_killed_in_a_hook_has_not_begun_what_the_hook_stands_before(real):
    entered, left = real.directory / ENTERED, real.directory / "left"
    real.run(HOOK.format(entered=str(entered), left=str(left)) + HOOKED.format(1))
    real.declare(HOOK.format(entered=str(entered), left=str(left)) + HOOKED.format(2))
    update = Update(real)
    update.await_entered()
    update.kill()
    update.process.communicate()
    assert update.calls() == []
    assert not left.exists(), "no hook may rely on a finally"
    assert called(real.run('Thing("a", size=2)')) == [("update", "a")]


def test_ctrl_c_in_a_hook_ends_the_waiting_at_once_and_the_next_update_goes_on(real):
    body = HOOK.format(entered=str(real.directory / ENTERED), left=str(real.directory / "left"))
    real.run(body + HOOKED.format(1))
    real.declare(body + HOOKED.format(2))
    update = Update(real)
    update.await_entered()
    engine, started = update.engine(), time.monotonic()
    update.process.send_signal(signal.SIGINT)
    assert update.end().startswith("KeyboardInterrupt")
    assert time.monotonic() - started < 30, "Ctrl-C waits for no hook"
    assert not Path(f"/proc/{engine}").exists(), "nobody goes on while an engine is still at work"
    assert update.calls() == []
    assert real.engine.record.unfinished == "ecs"
    assert called(real.run('Thing("a", size=2)')) == [("update", "a")]
    assert real.engine.record.unfinished is None


@long_list
def test_a_provider_that_dies_in_an_update_is_a_clear_error_and_the_next_update_goes_on(real):
    real.run('Thing("a", size=1)')
    real.declare('Thing("a", size=2)')
    update = Update(real, "mute", "update", "slow", "update")
    said = update.end()
    assert said.startswith("EngineError: ")
    assert "a" in said
    assert any(word in said.lower() for word in ("unavailable", "transport", "connection", "cancel")), said
    assert called(real.run('Thing("a", size=2)')) == [("update", "a")]


@long_list
def test_while_an_engine_is_at_work_another_update_is_refused_and_changes_nothing(real):
    real.run('Thing("a", size=1)')
    real.declare('Thing("a", size=2)')
    update = Update(real, "held", "update")
    update.await_entered()
    with pytest.raises(ControlError, match="STACK_BUSY"):
        real.run('Thing("a", size=3)')
    assert real.things.calls == []
    update.let_go_on()
    assert update.end() == "done"
    assert update.calls() == ["update a"]


def test_numbers_that_pulumi_has_made_strings_are_still_the_settings(real, cli: Path):
    from ops.local.stack import SOURCE
    from stack.loading import load
    from stack.settings import NAMESPACE

    folder = real.directory / "project"
    folder.mkdir()
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml"):
        (folder / name).write_bytes((SOURCE / name).read_bytes())
    backend = folder / "backend"
    backend.mkdir()
    environment = {
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PATH": os.environ["PATH"],
    }
    subprocess.run([cli, "stack", "init", "dev"], cwd=folder, env=environment, check=True, capture_output=True)
    kept = yaml.safe_load((folder / "Pulumi.dev.yaml").read_text())["config"]
    assert kept["receipts:embeddingDimensions"] == "1536"
    answer = subprocess.run(
        [cli, "config", "--json", "--stack", "dev"], cwd=folder, env=environment, check=True, capture_output=True
    )
    values = {key: item["value"] for key, item in yaml.safe_load(answer.stdout).items()}

    def settings(config: dict[str, Any]) -> Any:
        prefix = f"{NAMESPACE}:"
        return load({key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)})

    declared = yaml.safe_load((SOURCE / "Pulumi.dev.yaml").read_text())["config"]
    assert settings(values) == settings(declared)


def test_no_cli_is_told_in_a_sentence(real, monkeypatch):
    monkeypatch.setattr(cli_process, "find_cli", lambda: None)
    with pytest.raises(ControlError, match=r"PULUMI_CLI_MISSING.*make engine"):
        real.run('Thing("a")')
    assert not (real.directory / "pulumi").exists(), "the next update may be the other engine's"


def test_a_cli_that_does_not_fit_is_told_in_a_sentence(real, monkeypatch, tmp_path):
    for answer in ("3.1.0", "unknown"):
        old = tmp_path / answer / "bin" / "pulumi"
        old.parent.mkdir(parents=True)
        old.write_text(f"#!/bin/sh\necho {answer}\n")
        old.chmod(0o755)
        monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
        with pytest.raises(ControlError, match=r"PULUMI_CLI_UNFIT.*version.*Way out"):
            real.run('Thing("a")')
