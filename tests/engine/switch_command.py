"""``receipts local up --consumer`` for a stack in any directory, as a process that tests kill.

``python -m tests.engine.switch_command DIRECTORY CONSUMER`` writes a line ``began NAME``, ``hooked`` or ``ended NAME``
for each event, as it happens.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from pulumi import automation

from ops.local.engines import events
from ops.local.stack import LocalStack

REPOSITORY = Path(__file__).resolve().parents[2]


def kill_at(stack: LocalStack, consumer: str, moment: str) -> None:
    """Switch in a process of its own, and end it and its engine with SIGKILL as soon as it says ``moment``."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", __name__, str(stack.state_directory), consumer],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        seen = []
        for line in process.stdout:
            seen.append(line.strip())
            if seen[-1] == moment:
                break
        assert seen[-1:] == [moment], seen
        children = Path(f"/proc/{process.pid}/task").glob("*/children")
        engines = [int(item) for file in children for item in file.read_text().split()]
        process.kill()
        for engine in engines:
            os.kill(engine, signal.SIGKILL)
    process.wait()


def main() -> None:
    """Switch once."""
    stack, consumer = LocalStack(Path(sys.argv[1])), sys.argv[2]
    hear = events.Listener.hear

    def listen(self: events.Listener, event: automation.EngineEvent) -> None:
        hear(self, event)
        for word, told in (("began", event.resource_pre_event), ("ended", event.res_outputs_event)):
            if told and told.metadata.op not in events.LOOKS:
                print(word, told.metadata.urn.rsplit("::", 1)[-1])  # noqa: T201
        if event.diagnostic_event and event.diagnostic_event.message.startswith("Invoke callback"):
            print("hooked")  # noqa: T201

    events.Listener.hear = listen
    stack.up({"embedConsumer": consumer})


if __name__ == "__main__":
    main()
