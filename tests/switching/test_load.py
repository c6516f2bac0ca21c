"""Receipts arrive without a pause while operators switch the consumer, are killed at it, and meet one another.

Nothing is lost, nothing is applied twice, no older version wins, and never are two consumers at work.

The figures are printed; ``pytest -s`` shows them.
"""

import os
import random
import signal
import subprocess
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from ops import cli
from ops.auditing import audit
from ops.commands import options
from ops.failures import speaks
from ops.local.control import ControlError
from ops.local.stack import LocalStack
from ops.stacks.local import local_target
from tests.switching import command
from tests.switching.conftest import eventually
from tests.switching.load import Interval, Load, intervals, is_quiet, judge, overlaps

SWITCHES = int(os.environ.get("LOAD_SWITCHES", "2"))
"""Few in the gate, 20 with ``make torture``."""
KILLS = int(os.environ.get("SWITCH_KILLS", "1"))
"""One in the gate; 24 with ``make torture``, twice at every place in both directions."""
LONGEST_SECONDS = 0.8
"""From the end of a step to the signal: within the next one, or within a later one where that is short."""
PLACES = 6
"""Before the first step, and after each of: mapping, hook, lock, service, scaling; or the same backwards."""
STEPS = ("  update ", "  hook ")


def test_switches_under_load_lose_nothing_repeat_nothing_and_never_have_two_consumers(stack: LocalStack):
    stack.up({"embedConsumer": "lambda"})
    target = local_target(stack)
    eventually(lambda: is_quiet(target))
    load, began = Load(target, "switches", pause_seconds=0.4), time.time()
    enabled = [Interval("mapping", began, float("inf"))]
    with load.running():
        for number in range(SWITCHES):
            wanted = "ecs" if number % 2 == 0 else "lambda"
            result = stack.up({"embedConsumer": wanted})
            (flipped,) = [
                step for step in result.steps if step.name == "embed-lambda-maps-embed" and step.operation == "update"
            ]
            (locked,) = [step for step in result.steps if step.name == "embed-lock" and step.operation == "update"]
            if wanted == "ecs":
                # It could invoke until the update of the mapping had ended.
                enabled[-1] = Interval("mapping", enabled[-1].start, flipped.at)
                assert flipped.at < locked.at
            else:
                # It could not invoke before the lock had changed hands.
                enabled.append(Interval("mapping", locked.at, float("inf")))
                assert locked.at < flipped.at
    seconds = time.time() - began
    figures = judge(stack, target, load, began)
    workers = intervals(
        [entry for entry in stack.timeline() if entry["at"] >= began], "worker", target.outputs["serviceName"], "worker"
    )
    assert figures.faults == {}
    assert len(workers) == SWITCHES // 2
    assert figures.invocations, "nothing was recorded of the function: no overlap would say nothing"
    assert overlaps(enabled, workers) == []
    print(  # noqa: T201 - the figures are what the test is for
        f"\n{SWITCHES} switches in {seconds:.0f} s; {load.duplicates} uploads twice, {load.reversed} reversed; "
        f"{figures}"
    )


def killed(stack: LocalStack, wanted: str, place: int, number: signal.Signals, seconds: float) -> str:
    """Run ``receipts switch`` and signal it so long after ``place`` steps of its update; what it said.

    Somebody updates the stack by hand in the middle of it, and is told that it is busy.
    """
    said, steps, sent = [], -1, False
    with command.start(stack, "switch", wanted) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            steps += line.startswith(STEPS) if steps >= 0 else line.startswith("3. Flag and update")
            if steps == place and not sent:
                require_busy(stack, process)
                time.sleep(seconds)
                process.send_signal(number)
                sent = True
    text = "".join(said)
    assert sent, text
    assert "Traceback" not in text
    if number is signal.SIGINT and process.returncode == 130:
        assert f"receipts switch {wanted}" in text or "nothing was changed" in text
    else:
        assert process.returncode in (-number, 0), text
    return text


def require_busy(stack: LocalStack, process: subprocess.Popen[str]) -> None:
    """An update by hand is refused while the switch has begun its own and not ended it; it stands still meanwhile."""
    process.send_signal(signal.SIGSTOP)
    try:
        # On a slow machine it may have ended before it was stopped.
        if stack.unfinished() is not None:
            settings = stack.settings()
            with pytest.raises(ControlError, match="STACK_BUSY"):
                stack.up({"embedConsumer": "none"})
            assert stack.settings() == settings
    finally:
        process.send_signal(signal.SIGCONT)


def commands_answer(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the commands that look say of the stack, all of them in one line where something is wrong."""
    monkeypatch.setattr(options, "connect", lambda _: local_target(stack))
    errors = ""
    for arguments in (["audit"], ["status"], ["search", "TOTAL"], ["reconcile"]):
        result = CliRunner().invoke(cli.application, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit) or speaks(result.exception), (
            result.exception
        )
        errors += result.stderr
    return errors


@pytest.mark.long
def test_a_switch_that_is_killed_anywhere_is_completed_by_the_command_it_names_or_by_hand(stack, monkeypatch):
    wanted = "ecs" if local_target(stack).outputs["embedConsumer"] == "lambda" else "lambda"
    target = local_target(stack)
    eventually(lambda: is_quiet(target))
    load, began, half_done = Load(target, "kills", pause_seconds=1.0), time.time(), 0
    draw = random.Random(1)  # noqa: S311 - repeatable, not secret
    with load.running():
        for number in range(KILLS):
            # Evenly over the places, in both directions; in the gate in the middle.
            place = (number // 2 + (2 if KILLS < PLACES else 0)) % PLACES
            sent = signal.SIGINT if number % 3 == 1 else signal.SIGKILL
            killed(stack, wanted, place, sent, draw.uniform(0, LONGEST_SECONDS))
            assert len([item.on for item in audit(local_target(stack)) if len(item.on) > 1]) == 0
            errors = commands_answer(stack, monkeypatch)
            if (unfinished := stack.unfinished()) is not None:
                half_done += 1
                assert f"receipts switch {wanted} goes on" in errors
                assert (unfinished, stack.settings()["embedConsumer"]) == (wanted, wanted)
            if number % 4 == 2:
                # The choice is kept from the first change on; before it, it is made again.
                stack.up({} if unfinished else {"embedConsumer": wanted})
                assert (stack.unfinished(), local_target(stack).outputs["embedConsumer"]) == (None, wanted)
                assert [item.finding for item in audit(local_target(stack)) if item.finding] == []
            with command.start(stack, "switch", wanted, "--timeout", "120") as process:
                text = process.communicate()[0]
            assert process.returncode == 0, text
            assert stack.unfinished() is None
            wanted = "lambda" if wanted == "ecs" else "ecs"
    figures = judge(stack, target, load, began)
    assert figures.faults == {}
    print(  # noqa: T201 - the figures are what the test is for
        f"\n{KILLS} switches killed, {half_done} of them half done; {load.duplicates} uploads twice, {load.reversed} "
        f"reversed; {figures}"
    )


def outcome(process: Any) -> tuple[int, str]:
    text = process.communicate()[0]
    return process.returncode, text


@pytest.mark.long
def test_of_two_switches_at_once_one_is_made_and_the_other_changes_nothing(stack):
    stack.up({"embedConsumer": "lambda"})
    before = stack.updates()
    with (
        command.start(stack, "switch", "ecs", "--auto-rollback") as first,
        command.start(stack, "switch", "none", "--auto-rollback") as second,
    ):
        ended = {"ecs": outcome(first), "none": outcome(second)}
    (made,) = [wanted for wanted, (code, _) in ended.items() if code == 0]
    (refused,) = [text for code, text in ended.values() if code == 1]
    assert "STACK_BUSY" in refused or "UPDATE_OVERTAKEN" in refused, refused
    assert "nothing was changed" in refused
    assert "Roll back" not in refused
    assert (stack.updates(), stack.unfinished()) == (before + 1, None)
    assert stack.settings()["embedConsumer"] == made == local_target(stack).outputs["embedConsumer"]
    assert [item.finding for item in audit(local_target(stack)) if item.finding] == []
