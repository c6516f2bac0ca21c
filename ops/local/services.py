"""An ECS service as worker processes: the desired count becomes that many, started as the task definition says."""

import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ops.local.children import start_process
from ops.local.timeline import Timeline

RESTART_SECONDS = 2.0
"""Pause before a worker that ended by itself is started again; ECS waits longer with each failure."""
WATCH_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class ServiceDefinition:
    """What is needed to run a service's tasks.

    Attributes:
        command: the container's entry point and command.
        environment: all variables.
        desired_count: how many tasks.
        stop_timeout_seconds: between SIGTERM and SIGKILL.
        revision: changes when the code or the task definition does.
        is_kept: whether it comes back when the stack is stopped and started.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    desired_count: int
    stop_timeout_seconds: float
    revision: str
    is_kept: bool = True


class ServiceProcesses:
    """Keeps as many workers running as desired.

    Args:
        definition: what to run.
        directory: the working directory: where the image's folders lie.
        log_file: the workers' standard output and error.
        timeline: records every worker's start and end.
    """

    def __init__(self, definition: ServiceDefinition, *, directory: Path, log_file: Path, timeline: Timeline) -> None:
        self.definition = definition
        self._timeline = timeline
        self._directory = directory
        self._log_file = log_file
        self._workers: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._scale(definition.desired_count)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def process_ids(self) -> list[int]:
        """The workers that run."""
        return [worker.pid for worker in list(self._workers) if worker.poll() is None]

    def stop(self) -> None:
        """SIGTERM, the stop timeout, SIGKILL; returns when no worker is left."""
        self._stopping.set()
        self._thread.join()
        with self._lock:
            for worker in self._workers:
                if worker.poll() is None:
                    worker.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + self.definition.stop_timeout_seconds
            for worker in self._workers:
                try:
                    worker.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()
            self._forget_ended()

    def _scale(self, count: int) -> None:
        with self._lock:
            self._forget_ended()
            while len(self._workers) < count:
                self._workers.append(
                    start_process(
                        self.definition.command,
                        self.definition.environment,
                        directory=self._directory,
                        log_file=self._log_file,
                    )
                )
                self._timeline.record("worker started", self.definition.name, str(self._workers[-1].pid))

    def _forget_ended(self) -> None:
        for worker in [worker for worker in self._workers if worker.poll() is not None]:
            self._workers.remove(worker)
            self._timeline.record("worker ended", self.definition.name, str(worker.pid))

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            with self._lock:
                self._forget_ended()
            if len(self.process_ids) < self.definition.desired_count and not self._stopping.wait(RESTART_SECONDS):
                self._scale(self.definition.desired_count)
