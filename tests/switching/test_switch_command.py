"""`receipts switch` and `receipts audit` on a running stack; a failure leaves an operator with half a switch."""

import json
import os
import signal
from typing import Any

import pytest
from typer.testing import CliRunner

from one_consumer.audit.judgement import Finding
from ops import cli
from ops.commands import options
from ops.console import Output
from ops.local.provisioners import services
from ops.operations import repository
from ops.stacks.local import LocalSwitchable, local_target
from ops.switching.procedure import SwitchOptions, run_switch
from ops.target import OperatorError
from pipeline.collections.receipts import deciding_run
from stack.errors import SettingsRefused
from tests.switching.test_switch import findings


@pytest.fixture
def quiet() -> Output:
    return Output(as_json=True)


def test_the_procedure_finds_all_six_signs(stack, quiet):
    stack.up({"embedConsumer": "none"})
    result = run_switch(quiet, LocalSwitchable(stack), "ecs", SwitchOptions(timeout_seconds=60))
    assert result.succeeded, result.document
    assert len(result.document["checks"]) == 6
    assert {check["state"] for check in result.document["checks"]} == {"passed"}
    target = local_target(stack)
    assert target.outputs["embedConsumer"] == "ecs"
    (sent,) = [run for run in repository(target).all_runs() if run.consumer == "ecs"]
    last = deciding_run(repository(target).of_receipt(sent.image_id, sent.receipt_id))
    assert last is not None
    assert last.kind == "delete", "what the checks uploaded is taken away again"


def test_a_dry_run_changes_nothing(stack, quiet):
    before = local_target(stack).outputs["embedConsumer"]
    result = run_switch(quiet, LocalSwitchable(stack), "none", SwitchOptions(dry_run=True))
    assert result.document["plan"]
    assert local_target(stack).outputs["embedConsumer"] == before
    assert stack.up().changes == ()


def test_a_switch_does_not_begin_beside_somebody_unknown(stack, quiet, intruder):
    before = stack.settings()
    intruder.enable(True)
    with pytest.raises(OperatorError, match="SWITCH_BLOCKED: TWO_CONSUMERS on queue embed"):
        run_switch(quiet, LocalSwitchable(stack), "lambda", SwitchOptions())
    assert stack.settings() == before


TOLD = {
    "aws:sqs/queue:Queue",
    "aws:lambda/eventSourceMapping:EventSourceMapping",
    "aws:lambda/function:Function",
    "aws:ecs/service:Service",
    "aws:appautoscaling/target:Target",
}
"""Types of which a plan tells every change, beside the lock of ``embed``."""


@pytest.mark.long
def test_after_the_worker_failed_to_become_steady_every_way_out_is_open(stack, quiet, monkeypatch):
    stack.up({"embedConsumer": "lambda"})
    update = services.Service.update

    def fail(*arguments: Any) -> Any:
        update(*arguments)
        raise TimeoutError("the service is not steady")

    with monkeypatch.context() as broken:
        broken.setattr(services.Service, "update", fail)
        result = run_switch(quiet, LocalSwitchable(stack), "ecs", SwitchOptions())
    assert "worker-service" in result.document["failure"]
    target = local_target(stack)
    assert target.outputs["embedConsumer"] == "lambda"
    assert findings(target) == {"embed": Finding.WRONG_CONSUMER}
    for wanted in ("ecs", "none"):
        planned = run_switch(quiet, LocalSwitchable(stack), wanted, SwitchOptions(dry_run=True)).document["plan"]
        assert "worker-service" in {step["resource"] for step in planned}
    back = run_switch(quiet, LocalSwitchable(stack), "lambda", SwitchOptions(timeout_seconds=60))
    assert back.succeeded, back.document
    assert findings(local_target(stack)) == {}


def test_settings_that_the_program_would_refuse_are_refused_before_the_update(stack, quiet, monkeypatch):
    stack.up({"embedConsumer": "ecs"})
    kept = stack.settings() | {"ecs": {"desiredCount": 1}}
    monkeypatch.setattr(stack, "settings", lambda: kept)
    for dry_run in (True, False):
        with pytest.raises(SettingsRefused, match="CONSUMER_CONTRADICTION"):
            run_switch(quiet, LocalSwitchable(stack), "none", SwitchOptions(dry_run=dry_run))
    assert local_target(stack).outputs["embedConsumer"] == "ecs"


@pytest.mark.long
def test_a_winner_that_does_not_work_is_found_out_and_rolled_back(stack, quiet):
    outputs = stack.up({"embedConsumer": "ecs"}).outputs
    client = local_target(stack).client("lambda")
    client.invoke(FunctionName=outputs["embedFunctionName"], Payload=b'{"Records": []}')
    client.close()
    # The mapping will work and the function will not: its process hangs on every event.
    process = stack.status()["functions"][outputs["embedFunctionName"]]
    os.kill(process, signal.SIGSTOP)
    asked: list[str] = []
    options = SwitchOptions(timeout_seconds=4, roll_back=lambda failure: not asked.append(failure))
    # Going back waits for the hanging run: until the function's timeout, which ends the process.
    result = run_switch(quiet, LocalSwitchable(stack), "lambda", options)
    assert not result.succeeded
    assert "a CompactionRun appears" in asked[0]
    assert result.rolled_back, result.document["roll_back_failure"]
    assert local_target(stack).outputs["embedConsumer"] == "ecs"
    assert findings(local_target(stack)) == {}


def test_the_audit_command_says_what_is_wrong_and_exits_with_1(stack, intruder, monkeypatch):
    monkeypatch.setattr(options, "connect", lambda _: local_target(stack))
    good = CliRunner().invoke(cli.application, ["audit", "--json"])
    assert good.exit_code == 0, good.output
    intruder.enable(True)
    bad = CliRunner().invoke(cli.application, ["audit", "--json"])
    assert bad.exit_code == 1
    (embed,) = (item for item in json.loads(bad.stdout) if item["queue"] == "embed")
    assert embed["finding"] == "TWO_CONSUMERS"
    assert sum(item["standing"] == "on" for item in embed["consumers"]) == 2
    assert "TWO_CONSUMERS" in bad.stderr
