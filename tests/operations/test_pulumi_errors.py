"""What an operator reads when Pulumi fails: one sentence with the cause and the way out, never a traceback or a tail.

Whoever reads the end of a failed update reads the list of its outputs, and looks for the fault in the wrong place.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from pulumi import automation

from ops import cli
from ops.pulumi_errors import Diagnostics, explained, in_a_line

STACK = "urn:pulumi:dev::receipts::pulumi:pulumi:Stack::receipts-dev"
LOCK = "urn:pulumi:dev::receipts::receipts:stack:Queue$aws:sqs/queuePolicy:QueuePolicy::embed-lock"


def install(folder: Path, *, version: str = "v3.274.1", error: str = "", exit_code: int = 255) -> None:
    """A Pulumi CLI that knows its version and fails at everything else."""
    command = folder / "pulumi"
    command.write_text(
        f"#!/bin/sh\n[ \"$1\" = version ] && {{ echo '{version}'; exit {0 if version else 3}; }}\n"
        f"cat >&2 <<'END'\n{error}\nEND\nexit {exit_code}\n"
    )
    command.chmod(0o755)


Told = Callable[..., str]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """What a command that fails writes to standard error."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["receipts", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 1
        written = capsys.readouterr()
        assert written.out == ""
        return written.err

    return run


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder on the PATH where a Pulumi CLI may be."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK", raising=False)
    return tmp_path


LOGIN = "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions"
PASSPHRASE = (
    "error: getting secrets manager: passphrase must be set with PULUMI_CONFIG_PASSPHRASE or "
    "PULUMI_CONFIG_PASSPHRASE_FILE environment variables"
)
WRONG = "error: getting secrets manager: incorrect passphrase"
OTHER = "warning: a newer version is there\nerror: could not list bucket: blob (code=Unknown): no such host"
FAILURES = [
    ({"error": "error: no stack named 'dvelop' found"}, "STACK_UNKNOWN", "pulumi stack ls"),
    ({"error": LOGIN}, "PULUMI_LOGIN", "pulumi login"),
    ({"error": PASSPHRASE}, "PULUMI_PASSPHRASE", "is not set. Way out: set PULUMI_CONFIG_PASSPHRASE"),
    ({"error": WRONG}, "PULUMI_PASSPHRASE", "is wrong"),
    ({"error": OTHER}, "STACK_UNREADABLE", "could not list bucket: blob (code=Unknown): no such host. Way out"),
    ({"error": ""}, "STACK_UNREADABLE", "said nothing"),
    ({"version": "v3.0.1"}, "PULUMI_VERSION", "is version 3.0.1, and at least 3.182.0 is needed"),
    ({"version": "v4.0.0"}, "PULUMI_VERSION", "do not go together"),
    ({"version": "dev"}, "PULUMI_VERSION", "gives no version that can be read"),
    ({"version": ""}, "PULUMI_VERSION", "failed with exit code 3"),
]


@pytest.mark.parametrize(("installed", "code", "words"), FAILURES, ids=[f"{code}-{w[:9]}" for _, code, w in FAILURES])
def test_what_is_wrong_with_the_cli_is_one_sentence_and_a_way_out(installed, code, words, only, told):
    install(only, **installed)
    for command in (["status"], ["switch", "ecs"]):
        message = told(*command, "--stack", "dvelop")
        assert message.startswith(f"{code}: ")
        assert words in message
        assert ". Way out: " in message
        assert message.count("\n") == 1


def test_no_cli_is_one_sentence_and_a_way_out(only, told):
    message = told("audit", "--stack", "dev")
    assert message.startswith(
        "PULUMI_MISSING: stack 'dev' is asked of the Pulumi CLI, and there is none on the PATH. Way out: "
    )
    assert message.count("\n") == 1


def event(message: str, *, severity: str = "error", urn: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(diagnostic_event=SimpleNamespace(message=message, severity=severity, urn=urn))


def test_the_cause_is_what_the_engine_told_and_not_the_end_of_the_output():
    errors = Diagnostics()
    for one in (
        SimpleNamespace(resource_pre_event=None),
        event("<{%reset%}>a newer version is there<{%reset%}>", severity="warning"),
        event(
            '<{%reset%}>before hook "embed-is-drained" failed: HANDOVER_NOT_DRAINED: worker is on<{%reset%}>\n',
            urn=LOCK,
        ),
        event("<{%reset%}>update failed<{%reset%}>\n", urn=STACK),
        event("an unhandled error occurred: Program exited with non-zero exit code: 1\n"),
    ):
        errors.note(one)
    assert errors.cause() == 'embed-lock: before hook "embed-is-drained" failed: HANDOVER_NOT_DRAINED: worker is on'
    failed = automation.CommandError(
        automation._cmd.CommandResult(stdout="Outputs:\n  - a: 1\n", stderr="error: update failed", code=255)
    )
    error = explained(failed, "dev", "UPDATE_FAILED", "mend it", errors.cause())
    assert str(error) == f"UPDATE_FAILED: {errors.cause()}. Way out: mend it."


def test_an_engine_that_only_says_that_it_failed_is_passed_on():
    errors = Diagnostics()
    assert errors.cause() == ""
    errors.note(event("update failed", urn=STACK))
    assert errors.cause() == "update failed"


def test_several_errors_are_told_once_each_in_their_order():
    errors = Diagnostics()
    for message in ("b", "a", "b"):
        errors.note(event(message))
    assert errors.cause() == "b; a"


def test_of_a_traceback_only_what_was_raised_is_told():
    message = (
        "Program failed with an unhandled exception:\nTraceback (most recent call last):\n"
        '  File "/x/__main__.py", line 1, in <module>\n    1 / 0\nZeroDivisionError: division by zero\n'
    )
    assert in_a_line(message) == "Program failed with an unhandled exception: ZeroDivisionError: division by zero"


def test_several_refusals_are_told_in_one_line():
    assert (
        in_a_line("SETTING_UNKNOWN: a. Way out: b.\nOUT_OF_RANGE: c.\n")
        == "SETTING_UNKNOWN: a. Way out: b; OUT_OF_RANGE: c"
    )


def test_a_providers_list_of_errors_is_its_entries():
    message = "1 error occurred:\n\t* creating ECS Service (worker): waiting for steady state: timeout\n\n"
    assert in_a_line(message) == "creating ECS Service (worker): waiting for steady state: timeout"
