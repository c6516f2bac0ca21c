"""Workers as ECS runs them: as many as desired, asked to end before they are ended."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.local import services
from ops.local.services import ServiceDefinition, ServiceProcesses
from ops.local.timeline import Timeline

POLITE = """
import os, pathlib, signal, sys, time

def end(*_):
    time.sleep(0.3)
    pathlib.Path(f"ended-{os.getpid()}").touch()
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
pathlib.Path(f"ready-{os.getpid()}").touch()
while True:
    time.sleep(0.05)
"""
DEAF = """
import os, pathlib, signal, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(f"ready-{os.getpid()}").touch()
while True:
    time.sleep(0.05)
"""
Start = Callable[..., ServiceProcesses]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[ServiceProcesses] = []

    def run(program: str, count: int, stop_timeout: float = 10.0) -> ServiceProcesses:
        definition = ServiceDefinition(
            name="worker",
            command=(sys.executable, "-c", program),
            environment={"PATH": os.environ["PATH"]},
            desired_count=count,
            stop_timeout_seconds=stop_timeout,
            revision="1",
        )
        started.append(
            ServiceProcesses(
                definition,
                directory=tmp_path,
                log_file=tmp_path / "worker.log",
                timeline=Timeline(tmp_path / "timeline.jsonl"),
            )
        )
        eventually(lambda: len(list(tmp_path.glob("ready-*"))) == count)
        return started[-1]

    yield run
    for service in started:
        service.stop()


def eventually(look: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return value


def is_gone(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_desired_count_of_two_is_two_workers(start):
    assert len(set(start(POLITE, 2).process_ids)) == 2


def test_a_stop_asks_the_workers_to_end_and_waits_for_them(start, tmp_path):
    service = start(POLITE, 2)
    workers = service.process_ids
    service.stop()
    assert {path.name for path in tmp_path.glob("ended-*")} == {f"ended-{worker}" for worker in workers}
    assert all(is_gone(worker) for worker in workers)
    assert service.process_ids == []


def test_a_worker_that_does_not_listen_is_killed_after_the_stop_timeout(start):
    service = start(DEAF, 1, stop_timeout=0.5)
    (worker,) = service.process_ids
    before = time.monotonic()
    service.stop()
    assert 0.4 < time.monotonic() - before < 4
    assert is_gone(worker)


def test_a_worker_that_ends_by_itself_is_started_again(start, monkeypatch):
    monkeypatch.setattr(services, "RESTART_SECONDS", 0.1)
    service = start(POLITE, 1)
    (first,) = service.process_ids
    os.kill(first, 9)
    (second,) = eventually(lambda: [item for item in service.process_ids if item != first])
    assert second != first
    assert is_gone(first)
