"""The stack in an account, with Pulumi's Automation API replaced by one that answers: the CLI is not needed.

A dry run that leaves a flipped flag behind is a switch that the next ``pulumi up`` makes without a word.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pulumi import automation

from ops.stacks import account
from ops.stacks.account import PulumiSwitchable
from ops.target import OperatorError
from stack.errors import SettingsRefused

KEPT = {
    "environment": ["shared"],
    "encryptionsalt": "v1:salt",
    "config": {"receipts:embedConsumer": "lambda", "receipts:lambda": {"timeoutSeconds": 300}},
}


class FakePulumi:
    """One stack of the Automation API, whose configuration is a file as Pulumi keeps it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.fails: str | None = None
        self.previewed: dict[str, Any] = {}
        self.calls: list[str] = []
        self.history_length = 3
        self.operations = ["same", "update"]
        self.busy = False

    def get_all_config(self) -> dict[str, automation.ConfigValue]:
        self._answer("get_all_config")
        values = yaml.safe_load(self.file.read_text())["config"]
        return {key: automation.ConfigValue(value if isinstance(value, str) else "{}") for key, value in values.items()}

    def set_config(self, key: str, value: automation.ConfigValue) -> None:
        self._answer("set_config")
        content = yaml.safe_load(self.file.read_text())
        content["config"][key] = value.value
        self.file.write_text(yaml.safe_dump(content))

    def preview(self, *, on_output: Any, on_event: Any, color: str, config_file: str) -> None:
        self.previewed = yaml.safe_load(Path(config_file).read_text())
        on_output("~ aws:lambda:EventSourceMapping")
        self._answer("preview")

    def remove_config(self, key: str) -> None:
        content = yaml.safe_load(self.file.read_text())
        del content["config"][key]
        self.file.write_text(yaml.safe_dump(content))

    def history(self, *, page_size: int, page: int) -> list[Any]:
        assert (page_size, page) == (1, 1)
        return [SimpleNamespace(version=self.history_length)]

    def up(self, *, on_output: Any, on_event: Any, color: str) -> None:
        if self.busy:
            raise automation.ConcurrentUpdateError(automation._cmd.CommandResult(stdout="", stderr="locked", code=255))
        on_event(SimpleNamespace(resource_pre_event=None))
        for operation in self.operations:
            on_event(SimpleNamespace(resource_pre_event=SimpleNamespace(metadata=SimpleNamespace(op=operation))))
        self._answer("up")

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        if call == self.fails:
            raise automation.CommandError(automation._cmd.CommandResult(stdout="", stderr=f"{call} broke", code=255))


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePulumi:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump(KEPT))
    fake = FakePulumi(file)
    monkeypatch.setattr(account, "PROJECT_DIRECTORY", tmp_path)
    monkeypatch.setattr(account, "pulumi_stack", lambda _: fake)
    return fake


@pytest.mark.parametrize("name", ["dev", "organization/receipts/dev"])
def test_a_preview_sees_the_wanted_consumer_and_the_configuration_is_never_touched(pulumi, name):
    before, said = pulumi.file.read_bytes(), []
    PulumiSwitchable(name).preview("ecs", said.append)
    assert pulumi.previewed == KEPT | {"config": KEPT["config"] | {"receipts:embedConsumer": "ecs"}}
    assert pulumi.calls == ["preview"]
    assert pulumi.file.read_bytes() == before
    assert said


@pytest.mark.parametrize("interruption", ["preview", KeyboardInterrupt])
def test_a_preview_that_fails_is_told_in_a_line_and_leaves_the_configuration(pulumi, interruption, monkeypatch):
    before = pulumi.file.read_bytes()
    if isinstance(interruption, str):
        pulumi.fails = interruption
        with pytest.raises(OperatorError, match=r"(?s)PREVIEW_FAILED: .*preview broke"):
            PulumiSwitchable("dev").preview("ecs", print)
    else:

        def interrupted(call: str) -> None:
            raise interruption

        monkeypatch.setattr(pulumi, "_answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            PulumiSwitchable("dev").preview("ecs", print)
    assert pulumi.file.read_bytes() == before


def test_a_preview_without_a_configuration_file_says_so(pulumi):
    pulumi.file.unlink()
    with pytest.raises(OperatorError, match="PREVIEW_FAILED"):
        PulumiSwitchable("dev").preview("ecs", print)
    assert pulumi.calls == []


def update(begun: list[bool] | None = None, *, after: int = 3) -> None:
    noted = [] if begun is None else begun
    PulumiSwitchable("dev").update("ecs", print, after=after, on_begin=lambda: noted.append(True))


@pytest.mark.parametrize("call", ["get_all_config", "up"])
def test_an_update_that_fails_is_told_in_a_line(pulumi, call):
    pulumi.fails = call
    with pytest.raises(OperatorError, match=rf"(?s)UPDATE_FAILED: .*{call} broke"):
        update()


def flag(pulumi: FakePulumi) -> str | None:
    return yaml.safe_load(pulumi.file.read_text())["config"].get("receipts:embedConsumer")


def test_an_update_that_fails_half_way_leaves_the_flag_flipped_and_says_that_it_had_begun(pulumi):
    pulumi.fails, begun = "up", []
    with pytest.raises(OperatorError, match="UPDATE_FAILED"):
        update(begun)
    assert begun == [True]
    assert flag(pulumi) == "ecs"


@pytest.mark.parametrize("kept", ["lambda", None])
@pytest.mark.parametrize(("busy", "code"), [(True, "STACK_BUSY"), (False, "UPDATE_FAILED")])
def test_an_update_that_is_refused_before_it_changes_anything_leaves_the_flag_as_it_was(pulumi, busy, code, kept):
    pulumi.file.write_text(yaml.safe_dump({"config": {"receipts:embedConsumer": kept} if kept else {"a:b": "c"}}))
    pulumi.busy, pulumi.operations, pulumi.fails, begun = busy, ["same", "read"], "up", []
    with pytest.raises(OperatorError, match=code):
        update(begun)
    assert begun == []
    assert flag(pulumi) == kept


def test_after_somebody_elses_update_nothing_is_changed(pulumi):
    with pytest.raises(OperatorError, match="UPDATE_OVERTAKEN"):
        update(after=2)
    assert pulumi.calls == []
    assert flag(pulumi) == "lambda"


def test_the_command_that_goes_on_names_the_stack(pulumi):
    assert PulumiSwitchable("dev").command("ecs") == "receipts switch ecs --stack dev"


def test_the_resulting_settings_are_those_of_the_configuration_with_the_wanted_consumer(pulumi):
    assert PulumiSwitchable("dev").settings("ecs").worker_count == 1
    content = yaml.safe_load(pulumi.file.read_text())
    content["config"]["receipts:ecs"] = '{"desiredCount": 1}'
    pulumi.file.write_text(yaml.safe_dump(content))
    assert PulumiSwitchable("dev").settings("ecs").ecs.desired_count == 1
    with pytest.raises(SettingsRefused, match="CONSUMER_CONTRADICTION"):
        PulumiSwitchable("dev").settings("none")
    assert set(pulumi.calls) == {"get_all_config"}


def test_a_configuration_that_cannot_be_read_is_told_in_a_line(pulumi):
    pulumi.fails = "get_all_config"
    with pytest.raises(OperatorError, match="CONFIGURATION_UNREADABLE"):
        PulumiSwitchable("dev").settings("ecs")


@pytest.mark.parametrize(("outputs", "region"), [({"region": "eu-west-1"}, "eu-west-1"), ({}, "us-west-2")])
def test_a_stack_is_asked_in_its_own_region_whatever_the_shells_is(monkeypatch, outputs, region):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    values = {name: automation.OutputValue(value, secret=False) for name, value in outputs.items()}
    monkeypatch.setattr(account, "pulumi_stack", lambda _: SimpleNamespace(outputs=lambda: values))
    client = account.pulumi_target("dev").client("sqs", aws_access_key_id="x", aws_secret_access_key="y")
    assert client.meta.region_name == region
    client.close()
