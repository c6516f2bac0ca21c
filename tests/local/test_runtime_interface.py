"""A function as Lambda runs it: what fails, hangs or dies must not take the next event with it."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from ops.local.runtime_interface import FunctionDefinition, FunctionProcess, InvocationResult
from ops.local.timeline import Timeline

PROJECT = Path(__file__).resolve().parents[2]
HANDLER = """
import os, time

def handle(event, context):
    match event["do"]:
        case "answer":
            return {"process": os.getpid(), "request": context.aws_request_id}
        case "raise":
            raise ValueError("no such receipt")
        case "hang":
            time.sleep(60)
        case "die":
            os._exit(3)
"""


def start(directory: Path) -> FunctionProcess:
    (directory / "small_handler.py").write_text(HANDLER)
    definition = FunctionDefinition(
        name="small",
        command=(sys.executable, "-m", "awslambdaric", "small_handler.handle"),
        environment={
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_FUNCTION_NAME": "small",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "_HANDLER": "small_handler.handle",
        },
        timeout_seconds=3.0,
        revision="1",
    )
    return FunctionProcess(
        definition,
        directory=directory,
        log_file=directory / "small.log",
        timeline=Timeline(directory / "timeline.jsonl"),
    )


@pytest.fixture
def function(tmp_path: Path) -> Iterator[FunctionProcess]:
    running = start(tmp_path)
    yield running
    running.stop()


def invoke(function: FunctionProcess, what: str) -> tuple[InvocationResult, dict[str, Any]]:
    result = function.invoke(json.dumps({"do": what}).encode())
    return result, json.loads(result.body)


def is_gone(process_id: int) -> bool:
    stat = Path(f"/proc/{process_id}/stat")
    try:
        if stat.exists():
            # An orphan that has ended stays a zombie where nobody reaps it.
            return stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"
        os.kill(process_id, 0)
    except (FileNotFoundError, ProcessLookupError):
        return True
    return False


def test_two_events_are_answered_by_one_warm_process(function):
    (first, one), (second, two) = invoke(function, "answer"), invoke(function, "answer")
    assert first.succeeded
    assert second.succeeded
    assert one["process"] == two["process"] == function.process_id
    assert one["request"] != two["request"]


def test_an_error_of_the_handler_is_told_and_the_process_lives_on(function):
    _, before = invoke(function, "answer")
    result, error = invoke(function, "raise")
    assert not result.succeeded
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no such receipt")
    assert invoke(function, "answer")[1]["process"] == before["process"]


def test_an_event_that_hangs_is_killed_at_the_timeout_and_the_next_one_works(function):
    _, before = invoke(function, "answer")
    started = time.monotonic()
    result, error = invoke(function, "hang")
    assert 2.5 < time.monotonic() - started < 6
    assert not result.succeeded
    assert error["errorType"] == "Sandbox.Timedout"
    assert is_gone(before["process"])
    assert invoke(function, "answer")[0].succeeded


def test_a_process_that_dies_fails_its_event_and_the_next_one_works(function):
    result, error = invoke(function, "die")
    assert not result.succeeded
    assert error["errorType"] == "Runtime.ExitError"
    assert "3" in error["errorMessage"]
    assert invoke(function, "answer")[0].succeeded


def test_a_request_that_means_another_host_gets_no_event(function):
    connection = http.client.HTTPConnection(*function._server.server_address, timeout=5)
    connection.request("GET", "/2018-06-01/runtime/invocation/next", headers={"Host": "receipts.example"})
    assert connection.getresponse().status == HTTPStatus.FORBIDDEN
    connection.close()


def test_a_stopped_function_leaves_no_process(tmp_path):
    function = start(tmp_path)
    _, answer = invoke(function, "answer")
    function.stop()
    assert function.process_id is None
    assert is_gone(answer["process"])


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the child")
def test_a_killed_supervisor_takes_the_function_with_it(tmp_path):
    program = (
        "import pathlib, sys, time\n"
        "from tests.local.test_runtime_interface import invoke, start\n"
        "print(invoke(start(pathlib.Path(sys.argv[1])), 'answer')[1]['process'], flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as supervisor:
        try:
            assert supervisor.stdout is not None
            process_id = int(supervisor.stdout.readline())
            assert not is_gone(process_id)
        finally:
            supervisor.kill()
    deadline = time.monotonic() + 5
    while not is_gone(process_id):
        assert time.monotonic() < deadline, "the function outlived its supervisor"
        time.sleep(0.02)
