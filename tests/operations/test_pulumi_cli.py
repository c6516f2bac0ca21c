"""What the real CLI says when it fails, as operators read it. Skipped where there is none: ``make engine`` builds it.

The texts that a fake CLI gives elsewhere are those of one release; here the installed one is asked.
"""

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from one_consumer.live.errors import WaitCode, WaitError
from ops.local.engines.cli_process import find_cli
from ops.pulumi_errors import Diagnostics, explaining
from ops.stacks import account
from ops.stacks.account import pulumi_target
from ops.target import OperatorError
from tests.program.engine import PROJECT

CLI = find_cli()
pytestmark = pytest.mark.skipif(CLI is None, reason="no Pulumi CLI: `make engine` builds one")


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The CLI with a home and a backend of its own."""
    assert CLI is not None
    monkeypatch.setenv("PATH", f"{CLI.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "one")
    for name in ("PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path / 'state'}")
    return tmp_path


def stack(folder: Path, program: Callable[[], Any]) -> automation.Stack:
    options = automation.LocalWorkspaceOptions(work_dir=str(folder))
    return automation.create_or_select_stack("one", project_name="receipts", program=program, opts=options)


def test_a_stack_that_cannot_be_had_is_one_sentence(backend, monkeypatch):
    with pytest.raises(OperatorError, match="STACK_UNKNOWN: Pulumi's backend has no stack 'dvelop'"):
        pulumi_target("dvelop")
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    with pytest.raises(OperatorError, match="PULUMI_LOGIN"):
        pulumi_target("dvelop")


def test_a_passphrase_that_is_missing_or_wrong_is_one_sentence(backend, monkeypatch):
    import pulumi

    made = stack(backend, lambda: pulumi.export("secret", pulumi.Output.secret("s")))
    made.up(color="never")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "two")
    for call in (made.outputs, made.history, made.preview):
        with (
            pytest.raises(OperatorError, match="PULUMI_PASSPHRASE: the passphrase of stack 'one' is wrong"),
            explaining("one", "OTHER", ""),
        ):
            call()
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    with pytest.raises(OperatorError, match="is not set"), explaining("one", "OTHER", ""):
        made.outputs()


def test_a_refusal_is_the_cause_of_a_failed_preview_and_is_told_once(backend):
    refused = stack(backend, lambda: runpy.run_path(str(PROJECT / "__main__.py")))
    refused.set_config("receipts:embedConsumer", automation.ConfigValue("fargate"))
    errors, shown = Diagnostics(), []
    with pytest.raises(OperatorError) as told, explaining("one", "PREVIEW_FAILED", "mend it", errors.cause):
        refused.preview(on_event=errors.note, on_output=shown.append, color="never")
    message = str(told.value)
    assert message.startswith("PREVIEW_FAILED: CHOICE_UNKNOWN: receipts:embedConsumer = 'fargate'. Rule: ")
    assert message.count("CHOICE_UNKNOWN") == 1
    assert "Traceback" not in "\n".join(shown)
    deployment = refused.export_stack().deployment or {}
    assert deployment.get("resources", []) == []


def test_a_hook_that_fails_is_the_cause_of_a_failed_switch(backend, monkeypatch):
    import pulumi

    def program() -> None:
        def wait(_: pulumi.ResourceHookArgs) -> None:
            raise WaitError(
                WaitCode.HANDOVER_NOT_DRAINED, value="worker is on", rule="it must be off", way_out="turn it off"
            )

        hook = pulumi.ResourceHook("embed-is-drained", wait)
        if pulumi.Config("receipts").get("embedConsumer") == "ecs":
            pulumi.export("late", "never")
            options = pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_create=[hook]))
            pulumi.ComponentResource("a:b:C", "embed-lock", opts=options)

    made = stack(backend, program)
    made.set_config("receipts:embedConsumer", automation.ConfigValue("lambda"))
    made.up(color="never")
    monkeypatch.setattr(account, "pulumi_stack", lambda _: made)
    begun: list[bool] = []
    said: list[str] = []
    switchable = account.PulumiSwitchable("one")
    with pytest.raises(OperatorError) as told:
        switchable.update("ecs", said.append, after=switchable.updates(), on_begin=lambda: begun.append(True))
    message = str(told.value)
    assert message.startswith("UPDATE_FAILED: ")
    assert message.count("HANDOVER_NOT_DRAINED") == 1
    assert "Outputs:" not in message
    assert "Traceback" not in "\n".join(said)
    assert begun == [True]
    assert made.get_config("receipts:embedConsumer").value == "ecs"
