"""Questions that a command asks a person, and what a person answers who presses Ctrl-D or Ctrl-C.

A failure deletes what nobody agreed to, or ends a switch half way without saying how to go on.
"""

import io
import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from ops.commands import options
from ops.dead_letters.describing import DeadLetter
from ops.dead_letters.looking import Looked
from ops.switching import procedure
from ops.switching.procedure import SwitchOptions, SwitchResult
from tests.commands.conftest import Run
from tests.commands.test_wrong_calls import refused

LETTER = DeadLetter(
    queue="embed",
    message_id="3f2a3f2a-0000-4000-8000-000000000001",
    code="MESSAGE_INVALID",
    reason="no JSON",
    sent_at=datetime(2026, 5, 1, tzinfo=UTC),
    receipts=(),
    body="a",
)
LOOKED = Looked(letters=(LETTER,), unseen={})


class Terminal(io.StringIO):
    """What a person types; None stands for Ctrl-C, and the end of the text for Ctrl-D."""

    def __init__(self, typed: str | None) -> None:
        super().__init__(typed or "")
        self._interrupts = typed is None

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:
        if self._interrupts:
            raise KeyboardInterrupt
        return super().readline(-1 if size is None else size)


@pytest.mark.parametrize(("typed", "answer"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_only_a_yes_is_a_yes(monkeypatch, typed, answer):
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert options.confirmed("Delete?") is answer


def test_ctrl_c_is_no_answer(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal(None))
    with pytest.raises(KeyboardInterrupt):
        options.confirmed("Delete?")


@pytest.mark.parametrize(("typed", "status", "told"), [("", 1, "NOT_CONFIRMED: nothing"), (None, 130, "interrupted")])
def test_dead_letters_of_which_nobody_agreed_to_lose_them_are_not_deleted(run: Run, monkeypatch, typed, status, told):
    def fail(*_: Any) -> None:
        raise AssertionError("nobody agreed")

    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(options, "connect", lambda _: None)
    monkeypatch.setattr("ops.dead_letters.looking.look", lambda *_: LOOKED)
    monkeypatch.setattr("ops.dead_letters.acting.discard", fail)
    ended, _, err = run("dead-letters", "discard", "--all")
    assert (ended, told in err) == (status, True), err


@pytest.mark.parametrize(("typed", "answer"), [("y\n", True), ("", False), (None, False)])
def test_a_switch_that_failed_goes_back_on_a_yes_alone_and_says_how_it_ended_in_any_case(
    run: Run, monkeypatch, capsys, typed, answer
):
    def failed(output: Any, stack: Any, consumer: str, choices: SwitchOptions) -> SwitchResult:
        del stack, consumer
        rolled_back = choices.roll_back("a check failed")
        output.say(f"rolled back: {rolled_back}")
        return SwitchResult(succeeded=False, rolled_back=rolled_back, document={})

    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(options, "switchable", lambda _: None)
    monkeypatch.setattr(procedure, "run_switch", failed)
    ended, out, _ = run("switch", "ecs")
    assert (ended, f"rolled back: {answer}" in out) == (1, True)


def test_an_input_that_ends_elsewhere_is_an_error_with_a_code(run: Run, monkeypatch):
    def ask(_: str) -> None:
        raise EOFError

    monkeypatch.setattr(options, "connect", ask)
    assert refused(run, "status") == "NOT_CONFIRMED"


def test_programs_are_asked_nothing(run: Run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    monkeypatch.setattr(options, "connect", lambda _: None)
    monkeypatch.setattr("ops.dead_letters.looking.look", lambda *_: LOOKED)
    ended, out, _ = run("dead-letters", "discard", "--all", "--json")
    assert (ended, json.loads(out)["error"]["code"]) == (1, "NOT_CONFIRMED")
