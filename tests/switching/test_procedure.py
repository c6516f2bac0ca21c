"""What the procedure does when something does not go well: it refuses before it changes, asks for the way back after.

An error that escapes it leaves consumers half switched, nobody asked and no document.
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from one_consumer.audit.judgement import Finding
from ops import cli
from ops.auditing import audit
from ops.commands import options
from ops.console import Output
from ops.failures import reason
from ops.local.control import ControlError
from ops.local.emulator import EmulatorError
from ops.local.engines.steps import EngineError
from ops.local.provisioners.context import client_options
from ops.switching import checks
from ops.switching.procedure import SwitchOptions, SwitchResult, run_switch, waiting
from ops.target import OperatorError, StackOutputs, Target
from stack.errors import SettingsRefused
from tests.switching.fakes import FakeStack, seen_mapping, seen_service

DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "FilterLogEvents")
WORKERS = {"ecs": {"desiredCount": 1}}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "POLL_SECONDS", 0.01)


def switched(stack: FakeStack, wanted: Any, asked: list[str] | None = None, **options: Any) -> SwitchResult:
    """Without ``asked`` the way back is not taken."""

    def roll_back(failure: str) -> bool:
        if asked is not None:
            asked.append(failure)
        return asked is not None

    return run_switch(
        Output(as_json=True), stack, wanted, SwitchOptions(timeout_seconds=0.05, roll_back=roll_back, **options)
    )


@pytest.mark.parametrize("wanted", ["lambda", "ecs", "none"])
def test_after_an_update_that_failed_half_way_every_way_is_open(wanted):
    stack = FakeStack("lambda", update_fails=[EngineError("aws:ecs/service:Service worker-service: it did not start")])
    assert not switched(stack, "ecs").succeeded
    assert (stack.consumer, stack.mapping, stack.count) == ("lambda", "Disabled", 1)
    result = switched(stack, wanted)
    assert stack.updated == ["ecs", wanted]
    assert result.document["half_way"]
    assert result.document["plan"]
    assert result.document["failure"] is None or wanted != "none"


@pytest.mark.parametrize(
    "stranger", [{"mappings": (seen_mapping("g"),)}, {"services": (seen_service("s", cluster="other"),)}]
)
def test_a_stranger_blocks_before_anything_is_changed(stranger):
    stack = FakeStack("lambda", more=stranger)
    with pytest.raises(OperatorError, match="SWITCH_BLOCKED: TWO_CONSUMERS on queue embed"):
        switched(stack, "none")
    assert stack.updated == []


@pytest.mark.parametrize("error", [OperatorError("LOGS_UNREADABLE", "log group g", "ask"), DENIED, KeyError("bug")])
def test_a_check_that_raises_is_a_check_that_failed_and_the_way_back_is_asked(error):
    stack, asked = FakeStack("lambda", logs_fail=error), []
    result = switched(stack, "ecs", asked)
    assert str(error) in asked[0]
    assert result.rolled_back
    assert stack.updated == ["ecs", "lambda"]
    told = {check["title"]: check for check in result.document["checks"]}["the incoming consumer's logs show work"]
    assert told["state"] == "failed"
    assert str(error) in told["detail"]


@pytest.mark.parametrize(
    "error",
    [
        EngineError("a step"),
        EmulatorError("it ended"),
        ControlError("no supervisor"),
        OperatorError("UPDATE_FAILED", "pulumi said no", "mend it"),
        DENIED,
        KeyError("bug"),
    ],
)
def test_whatever_stops_an_update_the_way_back_is_asked(error):
    stack, asked = FakeStack("lambda", update_fails=[error]), []
    result = switched(stack, "ecs", asked)
    assert str(error) in asked[0]
    assert result.rolled_back
    assert (stack.consumer, stack.mapping, stack.count) == ("lambda", "Enabled", 0)
    assert result.document["checks"] == []


@pytest.mark.parametrize("wanted", ["none", "ecs"])
def test_an_update_that_never_began_is_not_rolled_back(wanted):
    stack, asked = FakeStack("lambda", never_begins=True), []
    result = switched(stack, wanted, asked)
    assert asked == stack.updated == []
    assert not result.succeeded
    assert "nothing was changed" in result.document["way_on"]
    assert f"receipts switch {wanted} --stack fake" in result.document["way_on"]


@pytest.mark.parametrize("fault", [{"logs_fail": DENIED}, {"update_fails": [EngineError("a step")]}])
def test_going_back_never_undoes_a_colleagues_switch(fault):
    stack, asked = FakeStack("lambda", colleague="none", **fault), []
    result = switched(stack, "ecs", asked)
    assert asked == []
    assert stack.updated == ["ecs", "none"]
    assert (stack.consumer, stack.mapping, stack.count) == ("none", "Disabled", 0)
    assert "somebody else" in result.document["way_on"]


def test_a_switch_begins_only_on_the_stack_that_its_preflight_looked_at(monkeypatch):
    stack, asked = FakeStack("lambda"), []
    settings = stack.settings

    def and_a_colleague(consumer: str) -> Any:
        stack.updated.append("none")
        return settings(consumer)

    monkeypatch.setattr(stack, "settings", and_a_colleague)
    result = switched(stack, "ecs", asked)
    assert "UPDATE_OVERTAKEN" in result.document["failure"]
    assert "ecs" not in stack.updated
    assert asked == []


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"update_fails": [KeyboardInterrupt()]}, "is half done"),
        ({"logs_fail": KeyboardInterrupt()}, "the update went through, its checks did not"),
    ],
)
def test_ctrl_c_says_what_is_half_done_and_which_command_goes_on(fault, told, monkeypatch):
    stack = FakeStack("lambda", **fault)
    monkeypatch.setattr(options, "switchable", lambda _: stack)
    result = CliRunner().invoke(cli.application, ["switch", "ecs", "--auto-rollback", "--timeout", "0.05", "--json"])
    assert result.exit_code == 130
    document = json.loads(result.stdout)
    assert document["interrupted"]
    assert not document["rolled_back"]
    assert told in document["way_on"]
    assert "receipts switch ecs --stack fake" in document["way_on"]
    assert "receipts switch lambda --stack fake" in document["way_on"]
    assert stack.updated == ["ecs"]


def test_ctrl_c_before_the_update_names_nothing_to_mend(monkeypatch):
    def update(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    stack = FakeStack("lambda")
    monkeypatch.setattr(stack, "update", update)
    result = switched(stack, "ecs", [])
    assert result.interrupted
    assert result.document["way_on"] == "nothing was changed; to switch after all: receipts switch ecs --stack fake"


def test_ctrl_c_on_the_way_back_says_how_far_it_came():
    result = switched(FakeStack("lambda", update_fails=[EngineError("first"), KeyboardInterrupt()]), "ecs", [])
    assert result.interrupted
    assert not result.rolled_back
    assert "half done" in result.document["way_on"]


def test_a_way_back_that_fails_is_told_in_the_document():
    stack = FakeStack("lambda", update_fails=[EngineError("first"), ControlError("second")])
    result = switched(stack, "ecs", [])
    assert not result.rolled_back
    assert result.document["roll_back_failure"] == "second"
    assert result.document["after"]


@pytest.mark.parametrize("wanted", ["lambda", "none"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_settings_that_contradict_the_switch_are_refused_before_the_flag_is_written(wanted, dry_run):
    stack = FakeStack("ecs", given=WORKERS)
    with pytest.raises(SettingsRefused, match=r"CONSUMER_CONTRADICTION.*remove receipts:ecs.desiredCount"):
        switched(stack, wanted, dry_run=dry_run)
    assert stack.updated == []


def test_a_way_back_that_the_settings_refuse_is_told_before_and_not_tried():
    stack, asked = FakeStack("lambda", given=WORKERS, logs_fail=DENIED), []
    result = switched(stack, "ecs", asked)
    assert "CONSUMER_CONTRADICTION" in result.document["no_way_back"]
    assert not result.rolled_back
    assert "CONSUMER_CONTRADICTION" in result.document["roll_back_failure"]
    assert stack.updated == ["ecs"]


def test_the_plan_tells_the_desired_count_of_the_settings():
    result = switched(FakeStack("lambda", given={"ecs": {"desiredCount": 3}}), "ecs", dry_run=True)
    assert any(step["action"].startswith("desired count 3;") for step in result.document["plan"])


def test_a_queue_that_an_unfinished_update_has_deleted_blocks_no_switch():
    stack = FakeStack("lambda", missing="embed")
    assert [item.finding for item in audit(stack) if item.finding] == [Finding.QUEUE_MISSING]  # pyrefly: ignore[bad-argument-type]
    assert switched(stack, "ecs", dry_run=True).document["half_way"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit"],
        ["status"],
        ["search", "TOTAL"],
        ["reconcile"],
        ["show", "7c1f5a20", "1"],
        ["resolve"],
        ["rebuild", "--collection", "lines"],
        ["switch", "ecs"],
    ],
)
def test_before_the_first_update_has_ended_every_command_says_so_and_how_to_go_on(arguments, monkeypatch, tmp_path):
    outputs = StackOutputs({}, "receipts local up")
    target = Target(outputs=outputs, client_options=client_options("http://127.0.0.1:1"), cache_directory=tmp_path)
    monkeypatch.setattr(options, "connect", lambda _: target)
    monkeypatch.setattr(FakeStack, "outputs", outputs)
    monkeypatch.setattr(options, "switchable", lambda _: FakeStack("lambda"))
    result = CliRunner().invoke(cli.application, arguments)
    assert isinstance(result.exception, OperatorError), result.exception
    assert str(result.exception) == (
        "OUTPUT_MISSING: the stack has no outputs: no update of it has ended yet. Way out: receipts local up."
    )


def test_dead_letters_are_no_backlog():
    stack = FakeStack("lambda", waiting={"embed": 2, "dead": 5})
    assert switched(stack, "none", dry_run=True).document["backlog"] == 2


def test_a_bug_says_where_it_is():
    with pytest.raises(KeyError) as raised:
        {}["nothing"]
    assert reason(raised.value).startswith("KeyError: 'nothing' (")
    assert "test_procedure.py:" in reason(raised.value)


def test_the_command_writes_its_document_and_exits_with_1_when_a_check_raises(monkeypatch):
    stack = FakeStack("lambda", logs_fail=DENIED)
    monkeypatch.setattr(options, "switchable", lambda _: stack)
    result = CliRunner().invoke(cli.application, ["switch", "ecs", "--auto-rollback", "--timeout", "0.05", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["rolled_back"] is True


def test_brackets_in_what_was_seen_are_text(monkeypatch):
    stack = FakeStack("lambda", update_fails=[None, EngineError("[/red] stays")])
    stack.lines["lambda"] = ["[/cyan] stays"]
    monkeypatch.setattr(options, "switchable", lambda _: stack)
    result = CliRunner().invoke(cli.application, ["switch", "ecs", "--auto-rollback", "--timeout", "0.05"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "[/nothing]" in result.output
    assert "[/cyan] stays" in result.output
    assert "[/red] stays" in result.output


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_switch_to_what_is_so_already_ends_at_once_and_leaves_nothing_behind(dry_run):
    stack = FakeStack("lambda")
    result = switched(stack, "lambda", dry_run=dry_run)
    assert result.succeeded
    assert result.document["already"]
    assert (stack.updated, stack.objects) == ([], {})


@pytest.mark.parametrize(
    "stack",
    [
        FakeStack("lambda", unfinished="ecs"),
        # Somebody set the flag, and the next update would follow it.
        FakeStack("lambda", chosen="ecs"),
    ],
)
def test_a_switch_back_from_what_was_begun_is_made_although_the_outputs_say_that_it_is_so(stack):
    result = switched(stack, "lambda")
    assert "already" not in result.document
    assert stack.updated == ["lambda"]


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("fault", [{}, {"logs_fail": DENIED}, {"logs_fail": KeyboardInterrupt()}])
def test_the_checks_receipt_is_removed_however_the_checks_end(fault, monkeypatch):
    stack, removed = FakeStack("lambda", **fault), []
    monkeypatch.setattr(checks, "remove_unseen", lambda _, receipt: removed.append(receipt.image_id))
    switched(stack, "ecs", [])
    assert [json.loads(content)["image_id"] for content in stack.uploads()] == removed


def test_a_receipt_of_the_checks_that_cannot_be_removed_is_told_and_fails_no_switch(monkeypatch, capsys):
    def refuse(*_: Any) -> None:
        raise DENIED

    stack = FakeStack("lambda")
    monkeypatch.setattr(checks, "remove_unseen", refuse)
    monkeypatch.setattr(checks.SwitchChecks, "run", lambda self, *_: self._uploaded())
    result = run_switch(Output(as_json=False), stack, "ecs", SwitchOptions(timeout_seconds=0.05))
    assert result.succeeded
    assert "the checks' receipt was not removed" in capsys.readouterr().out


def test_checks_that_never_uploaded_remove_nothing(monkeypatch):
    monkeypatch.setattr(checks, "remove_unseen", interrupt)
    assert switched(FakeStack("lambda"), "none").succeeded


@pytest.mark.parametrize(
    ("backlog", "moves", "said"),
    [
        (0, True, "no message waits or is in flight"),
        (1, True, "1 message waits or is in flight; it will wait for the new consumer"),
        (2, True, "2 messages wait or are in flight; they will wait for the new consumer"),
        (2, False, "2 messages wait or are in flight"),
    ],
)
def test_only_messages_that_are_there_wait_for_a_new_consumer(backlog: int, moves: bool, said: str):
    assert waiting(backlog, moves=moves) == said
