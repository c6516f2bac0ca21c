"""One update of a small stack by the real engine, as a process of its own: tests kill it, its engine, or its provider.

``python -m tests.engine.command DIRECTORY [slow METHOD] [held METHOD] [mute METHOD]``: a slow provisioner says that
it was entered and takes two seconds; one that is held waits for the test; a mute one takes the provider with it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from ops.local.engines import provider
from ops.local.engines.steps import NOBODY
from tests.engine.small import CONFIG, RealStack

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 60.0
ENTERED, GO_ON, CALLS = "entered", "go-on", "calls.log"


class Update:
    """The process.

    Args:
        world: its stack; ``world.declare`` says what it makes.
    """

    def __init__(self, world: RealStack, *behaviour: str) -> None:
        self._directory = world.directory
        (self._directory / ENTERED).unlink(missing_ok=True)
        (self._directory / GO_ON).unlink(missing_ok=True)
        (self._directory / CALLS).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(world.directory), *behaviour],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def await_entered(self) -> None:
        """Wait until a slow provisioner, or a hook that writes ``entered``, is at work."""
        deadline = time.monotonic() + SECONDS
        while not (self._directory / ENTERED).exists():
            assert time.monotonic() < deadline, "nothing was entered"
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def let_go_on(self) -> None:
        """End the waiting of a provisioner that is held."""
        (self._directory / GO_ON).touch()

    def kill_engine(self) -> None:
        """End the CLI alone."""
        os.kill(self.engine(), signal.SIGKILL)

    def kill(self) -> None:
        """End this process and the CLI: a machine that loses its power."""
        engine = self.engine()
        self.process.kill()
        os.kill(engine, signal.SIGKILL)

    def engine(self) -> int:
        (engine,) = (
            int(item)
            for file in Path(f"/proc/{self.process.pid}/task").glob("*/children")
            for item in file.read_text().split()
            if Path(f"/proc/{item}/comm").read_text() == "pulumi\n"
        )
        return engine

    def end(self) -> str:
        """How it ended: what it said last."""
        output, errors = self.process.communicate(timeout=SECONDS)
        assert "Traceback" not in errors, errors
        return (output.splitlines() or [""])[-1]

    def calls(self) -> list[str]:
        """What the provisioners have done."""
        file = self._directory / CALLS
        return file.read_text().splitlines() if file.exists() else []


def main() -> None:
    """Update once."""
    directory, behaviour = Path(sys.argv[1]), dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    world = RealStack(directory)
    servers: list[grpc.Server] = []
    make = grpc.server

    def remember(*arguments: Any, **options: Any) -> grpc.Server:
        servers.append(make(*arguments, **options))
        return servers[-1]

    provider.grpc.server = remember

    def log(method: str) -> None:
        real: Callable[..., Any] = getattr(world.things, method)

        def call(identifier: str, *arguments: Any) -> Any:
            if behaviour.get("mute") == method:
                servers[0].stop(0)
            if behaviour.get("slow") == method:
                (directory / ENTERED).touch()
                time.sleep(2)
            if behaviour.get("held") == method:
                (directory / ENTERED).touch()
                deadline = time.monotonic() + SECONDS
                while not (directory / GO_ON).exists() and time.monotonic() < deadline:
                    time.sleep(0.02)
            answer = real(identifier, *arguments)
            with (directory / CALLS).open("a") as calls:
                calls.write(f"{method} {identifier}\n")
            return answer

        setattr(world.things, method, call)

    for method in ("create", "update", "delete"):
        log(method)
    try:
        world.engine.update(world.registry, CONFIG, NOBODY, choice="ecs")
    except BaseException as error:  # noqa: BLE001 - it is what the test looks at
        print(f"{type(error).__name__}: {error}".replace("\n", " "))  # noqa: T201
    else:
        print("done")  # noqa: T201


if __name__ == "__main__":
    main()
