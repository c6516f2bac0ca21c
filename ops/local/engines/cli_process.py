"""The Pulumi CLI as a process: which one, and how it and the program in this process end together."""

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulumi import automation
from pulumi.automation import _stack
from pulumi.automation._server import LanguageServer
from pulumi.automation.errors import create_command_error
from pulumi.runtime._callbacks import _CallbackServicer

from ops.local.control import ControlError
from ops.pulumi_errors import OLDEST_CLI

END_SECONDS = 60.0
"""How long an engine that was asked to stop may finish what has begun."""


def find_cli() -> Path | None:
    """The Pulumi CLI: on the PATH, or the one that ``make engine`` has built; None when there is none."""
    if on_path := shutil.which("pulumi"):
        return Path(on_path)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "receipts"
    return max(cache.glob("pulumi-*/bin/pulumi"), key=lambda path: path.stat().st_mtime, default=None)


class _Command(automation.PulumiCommand):
    """Runs the CLI so that Ctrl-C reaches it once, and so that the caller does not go on before it has ended."""

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], object] | None = None,
        on_error: Callable[[str], object] | None = None,
    ) -> automation.CommandResult:
        process = subprocess.Popen(  # noqa: S603 - the CLI that was found
            [self.command, "--non-interactive", *args],
            cwd=cwd,
            env={**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # The terminal's Ctrl-C would come here and there, and the second one aborts what has begun.
            start_new_session=True,
        )
        written: tuple[list[str], list[str]] = ([], [])
        readers = [
            threading.Thread(target=_read, args=(stream, lines, tell), daemon=True)
            for stream, lines, tell in zip(
                (process.stdout, process.stderr), written, (on_output, on_error), strict=True
            )
        ]
        for reader in readers:
            reader.start()
        try:
            process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)
            _stop_hooks()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise
        finally:
            for reader in readers:
                reader.join(END_SECONDS)
        result = automation.CommandResult(
            stdout="\n".join(written[0]), stderr="\n".join(written[1]), code=process.returncode
        )
        if process.returncode != 0:
            raise create_command_error(result)
        return result


def _stop_hooks() -> None:
    """End the program's hooks at once. An engine that is asked to stop waits for them, perhaps for minutes."""
    for servicer in list(_CallbackServicer._servicers):
        if not servicer._loop.is_closed():
            asyncio.run_coroutine_threadsafe(servicer._server.stop(grace=0), servicer._loop)


class _ClosingServer(LanguageServer):
    """Runs the program for an engine, and closes the program's loop also when the engine has ended before it.

    Pulumi's own method tries to tell the engine first, which fails then, and leaves the loop and its sockets open.
    """

    def Run(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        program, loops = self.program, []

        def remembered() -> Any:
            loops.append(asyncio.get_running_loop())
            return program()

        self.program = remembered
        try:
            return super().Run(request, context)
        finally:
            for loop in loops:
                if not loop.is_closed():
                    left = asyncio.all_tasks(loop)
                    for task in left:
                        task.cancel()
                    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
                    loop.run_until_complete(loop.shutdown_default_executor())
                    loop.close()


@contextmanager
def closing() -> Iterator[None]:
    """Have the Automation API run programs by ``_ClosingServer``."""
    before = _stack.LanguageServer
    _stack.LanguageServer = _ClosingServer
    try:
        yield
    finally:
        _stack.LanguageServer = before


@contextmanager
def quiet() -> Iterator[None]:
    """Leave the traces of calls that an engine's end cuts off unsaid; the error says what ended it."""
    logger = logging.getLogger("grpc._server")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _read(stream: Any, lines: list[str], tell: Callable[[str], object] | None) -> None:
    with stream:
        for line in stream:
            lines.append(line.rstrip())
            if tell:
                tell(line.rstrip())


def command() -> automation.PulumiCommand:
    """The CLI.

    Raises:
        ControlError: PULUMI_CLI_MISSING, PULUMI_CLI_UNFIT.
    """
    cli = find_cli()
    if cli is None:
        raise ControlError(
            "PULUMI_CLI_MISSING: --engine pulumi runs the Pulumi CLI, and there is none. Way out: install it, or build "
            "it with `make engine`; the default engine needs none."
        )
    try:
        # Found on the PATH, it need not lie in a folder called bin.
        root = None if shutil.which("pulumi") else str(cli.parent.parent)
        return _Command(root, version=OLDEST_CLI)
    except (automation.InvalidVersionError, OSError, subprocess.CalledProcessError) as error:
        raise ControlError(
            f"PULUMI_CLI_UNFIT: {cli} is not a Pulumi CLI that fits the pulumi package: {error}. Way out: install a "
            "newer one, or take it from the PATH and build one with `make engine`."
        ) from error


def is_running(process_id: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{process_id}/stat")
    # One that was killed stays listed until its parent has taken notice of it.
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
