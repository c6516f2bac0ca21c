"""The whole program on one machine; a slip here leaves two consumers, lost resources or a key on disk."""

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from ops.local.control import ControlError
from ops.local.emulator import EmulatorError
from ops.local.engines.steps import EngineError
from ops.local.stack import LocalStack, UpResult
from tests.local.test_runtime_interface import is_gone
from tests.switching.conftest import eventually

KEY = "sk-of-this-test-alone"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    running = LocalStack(tmp_path / "stack")
    yield running
    running.down(destroy=True)


def operations(result: UpResult) -> Counter[str]:
    return Counter(step.operation for step in result.steps if step.operation != "hook")


def end(stack: LocalStack, number: signal.Signals) -> None:
    os.kill(int((stack.state_directory / "supervisor.pid").read_text()), number)
    stack._await_end()


def workers(stack: LocalStack) -> list[int]:
    return [process for processes in stack.status()["services"].values() for process in processes]


def test_a_second_up_changes_nothing_a_flip_changes_the_consumer_and_destroy_leaves_nothing(stack):
    created = stack.up({"embedConsumer": "lambda"})
    assert set(operations(created)) == {"create"}
    # Bucket names are shared by everybody on AWS: the program gives a beginning, and the rest is made up.
    assert re.fullmatch("receipts-local-artifacts-[0-9a-f]{12}", created.outputs["artifactsBucket"])
    assert set(operations(stack.up({"embedConsumer": "lambda"}))) == {"same"}
    assert workers(stack) == []
    flipped = stack.up({"embedConsumer": "ecs"})
    assert set(operations(flipped)) == {"same", "update"}
    # Its steps (ops/switching/plan.py), and what follows: three alarms on the worker, and the count for its scaling.
    assert operations(flipped)["update"] <= 9
    client = boto3.client("lambda", **stack.client_options())
    assert client.get_event_source_mapping(UUID=flipped.outputs["embedMappingId"])["State"] == "Disabled"
    client.close()
    (worker,) = workers(stack)
    emulator = stack.status()["emulator"]["process"]
    stack.down(destroy=True)
    assert is_gone(worker)
    assert is_gone(emulator)
    assert not stack.state_directory.exists()


def test_two_commands_do_not_change_a_stack_at_once(stack):
    with stack._alone():
        for change in (stack.up, stack.down):
            with pytest.raises(ControlError, match="STACK_BUSY"):
                change()


def test_after_a_kill_the_lost_state_is_refused_instead_of_called_unchanged(stack):
    stack.up()
    end(stack, signal.SIGKILL)
    with pytest.raises(EmulatorError, match="--destroy"):
        stack.up()


@pytest.mark.long
def test_an_emulator_that_ends_in_an_update_is_told_and_what_is_left_can_be_destroyed(stack):
    stack.up()

    def kill() -> None:
        os.kill(stack.status()["emulator"]["process"], signal.SIGKILL)
        eventually(lambda: stack.status()["emulator"]["process"] is None)

    with pytest.raises(EngineError, match=r"aws:\S+ \S+: .*Could not connect"):
        stack.up({"embedConsumer": "ecs"}, on_begin=kill)
    with pytest.raises(EmulatorError, match=r"has ended.*down --destroy"):
        stack.up({"embedConsumer": "ecs"})
    stack.down(destroy=True)
    assert not stack.state_directory.exists()


@pytest.mark.parametrize(("kept", "wanted"), [("stack.json", "pulumi"), ("pulumi", "in-process")])
def test_a_state_of_the_other_engine_is_refused_with_the_way_out(stack, kept, wanted):
    stack.state_directory.mkdir()
    (stack.state_directory / kept).touch()
    with pytest.raises(ControlError, match=r"ENGINE_DIFFERS.*down --destroy"):
        stack.up(engine=wanted)
    (stack.state_directory / kept).unlink()


@pytest.mark.long
def test_a_supervisor_that_is_terminated_leaves_no_key_on_disk_and_comes_back(stack, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    settings = {"embedder": "openai", "embeddingDimensions": 64, "openaiBaseUrl": "http://127.0.0.1:9"}
    stack.up(settings)
    end(stack, signal.SIGTERM)
    files = [path for path in stack.state_directory.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    secret = stack.up(settings).outputs["openaiApiKeySecretArn"]
    client = boto3.client("secretsmanager", **stack.client_options())
    assert client.get_secret_value(SecretId=secret)["SecretString"] == KEY
    client.close()
