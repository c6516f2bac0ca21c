"""`receipts doctor`: each fault is found by its sign, has a way out, and nothing well is called a fault."""

import json
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError
from typer.testing import CliRunner

from one_consumer.audit.judgement import Finding as AuditFinding
from ops import cli
from ops.commands import options
from ops.doctor import looking
from ops.doctor.judging import Machine, Stack, Weight, judge_account, judge_machine, judge_stack
from ops.errors import OperatorError
from ops.local.paths import PORTS_FILE
from ops.local.stack import LocalStack

WELL = Machine(
    python=(3, 12),
    system="linux",
    pulumi="v3.300.0",
    docker=None,
    free_disk=2**40,
    free_memory=2**40,
)


@pytest.mark.parametrize(
    ("seen", "code", "weight"),
    [
        (replace(WELL, python=(3, 10)), "PYTHON_UNSUPPORTED", "fault"),
        (replace(WELL, python=(3, 14)), "PYTHON_UNSUPPORTED", "fault"),
        (replace(WELL, system="darwin"), "SYSTEM_UNTRIED", "warning"),
        (replace(WELL, pulumi=None), "PULUMI_MISSING", "warning"),
        (replace(WELL, pulumi=""), "PULUMI_VERSION", "warning"),
        (replace(WELL, pulumi="v3.100.0"), "PULUMI_VERSION", "warning"),
        (replace(WELL, docker="Docker does not run"), "DOCKER_MISSING", "warning"),
        (replace(WELL, free_disk=1_000), "DISK_LOW", "warning"),
        (replace(WELL, free_memory=1_000), "MEMORY_LOW", "warning"),
        (replace(WELL, taken_ports=(80,)), "PORT_TAKEN", "fault"),
        (replace(WELL, loopback="denied"), "LOOPBACK_REFUSED", "fault"),
    ],
)
def test_one_thing_that_is_wrong_with_a_machine_is_one_finding_with_a_way_out(seen, code, weight):
    (finding,) = [item for item in judge_machine(seen) if item.weight is not Weight.OK]
    assert (finding.code, finding.weight) == (code, weight)
    assert finding.way_out


def test_nothing_is_wrong_with_a_machine_that_is_well_or_does_not_tell_its_memory():
    for seen in (WELL, replace(WELL, python=(3, 11)), replace(WELL, python=(3, 13)), replace(WELL, free_memory=None)):
        assert {item.weight for item in judge_machine(seen)} == {Weight.OK}


@pytest.mark.parametrize(
    ("seen", "codes"),
    [
        (Stack(name="dev"), [""]),
        (Stack(name="dev", lost=["the emulator"]), ["PROCESS_LOST"]),
        (Stack(name="dev", unfinished="ecs"), ["UPDATE_UNFINISHED"]),
        (Stack(name="dev", audit={"embed": AuditFinding.NO_CONSUMER}), ["NO_CONSUMER"]),
        (Stack(name="dev", paused=True), ["PAUSED"]),
        (Stack(name="dev", dead_letters={"embed": 2, "words": 1}), ["DEAD_LETTERS", "DEAD_LETTERS"]),
        (Stack(name="dev", failed_runs={"lines": 3}), ["RUNS_FAILED"]),
    ],
)
def test_what_is_wrong_with_a_stack_is_told_with_the_command_for_that_stack(seen, codes):
    found = judge_stack(seen)
    assert [item.code for item in found] == codes
    assert all("--stack dev" in item.way_out for item in found if item.code not in ("", "PROCESS_LOST"))
    assert all("--stack" not in item.way_out for item in judge_stack(replace(seen, name="local")))


def test_an_account_needs_an_identity_and_a_region():
    assert {item.weight for item in judge_account("dev", "arn", "eu-central-1", None)} == {Weight.OK}
    faults = judge_account("dev", None, None, "no credentials")
    assert [item.code for item in faults] == ["AWS_CREDENTIALS", "REGION_UNSET"]


def no_client(_: str, **__: Any) -> Any:
    raise NoCredentialsError


@pytest.mark.parametrize(
    ("code", "weight"), [("STACK_UNKNOWN", "note"), ("PULUMI_LOGIN", "fault"), ("STACK_UNREADABLE", "fault")]
)
def test_that_there_is_no_stack_yet_is_no_fault(code, weight, tmp_path, monkeypatch):
    def reach(_: str) -> Any:
        raise OperatorError(code, "what", "way")

    monkeypatch.setattr(looking, "said_by", lambda _: "v3.300.0")
    found = looking.examine("dev", LocalStack(tmp_path / "local"), reach, no_client)
    assert [(item.code, item.weight) for item in found if item.area == "stack"] == [(code, weight)]
    assert "AWS_CREDENTIALS" in {item.code for item in found if item.area == "account"}


def test_who_this_shell_is_is_asked_in_the_stacks_region(tmp_path, monkeypatch):
    asked: list[Any] = []

    def client(service: str, **given: Any) -> Any:
        asked.append((service, given))
        return SimpleNamespace(get_caller_identity=lambda: {"Arn": "arn:me"}, close=lambda: None)

    def reach(_: str) -> Any:
        raise OperatorError("STACK_UNKNOWN", "what", "way")

    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  aws:region: eu-north-1\n")
    monkeypatch.setattr(looking, "PROJECT_DIRECTORY", tmp_path)
    monkeypatch.setattr(looking, "said_by", lambda _: "v3.300.0")
    found = looking.examine("org/dev", LocalStack(tmp_path / "local"), reach, client)
    assert asked == [("sts", {"region_name": "eu-north-1"})]
    assert [item.message for item in found if item.area == "account"] == ["this shell is arn:me", "region eu-north-1"]


def test_a_port_of_the_stopped_stack_that_another_program_has_is_found(tmp_path):
    with socket.socket() as other, socket.socket() as free:
        for item in (other, free):
            item.bind(("127.0.0.1", 0))
        other.listen()
        ports = {"emulator": other.getsockname()[1], "supervisor": free.getsockname()[1]}
        free.close()
        (tmp_path / PORTS_FILE).write_text(json.dumps(ports))
        assert looking.look_at_machine(LocalStack(tmp_path)).taken_ports == (ports["emulator"],)


@pytest.mark.parametrize(
    ("script", "expected"), [("echo v3.1.2; echo more", "v3.1.2"), ("exit 3", ""), ("echo x >&2", ""), (None, None)]
)
def test_what_a_program_says_is_its_first_line(tmp_path, script, expected):
    program = tmp_path / "program"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    assert looking.said_by((str(program),)) == expected


def test_the_command_ends_with_1_only_for_a_fault(monkeypatch):
    def examined(*found: Any) -> Any:
        monkeypatch.setattr(looking, "examine", lambda *_: list(found))
        return CliRunner().invoke(cli.application, ["doctor", "--json"])

    warning = judge_machine(replace(WELL, pulumi=None))
    fault = judge_machine(replace(WELL, python=(3, 10)))
    assert examined(*warning).exit_code == 0
    bad = examined(*fault)
    assert bad.exit_code == 1
    assert "PYTHON_UNSUPPORTED" in {item["code"] for item in json.loads(bad.stdout)}


def test_a_stack_that_is_not_up_is_a_note(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(looking, "said_by", lambda _: "v3.300.0")
    found = looking.examine("local", LocalStack(tmp_path), options.connect)
    assert [(item.code, item.weight) for item in found if item.area == "stack"] == [("STACK_NOT_RUNNING", "note")]
