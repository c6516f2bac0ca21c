"""The real Pulumi engine on this machine: the CLI, driven by the Automation API, with the provisioners attached to it.

Its project, its state and its locks are in a directory of their own; the user's Pulumi login and stacks are not
touched. It is optional: a stack comes up without it by ``in_process.py``.
"""

import json
<<<<<<< HEAD
import logging
import os
=======
>>>>>>> engine
import runpy
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pulumi import RunError, automation
<<<<<<< HEAD
from pulumi.automation.errors import create_command_error
from pulumi.runtime._callbacks import _CallbackServicer
=======
>>>>>>> engine

from ops.local.control import ControlError
from ops.local.engines.cli_process import closing, command, is_running, quiet
from ops.local.engines.events import Listener
from ops.local.engines.provider import PACKAGES, serve
from ops.local.engines.steps import NOBODY, EngineError, Told
from ops.local.provisioners import Registry
from ops.local.state import UpdateRecord
<<<<<<< HEAD
from ops.pulumi_errors import OLDEST_CLI, Diagnostics, told_by

OPERATIONS: Mapping[str, Operation] = {
    "create": "create",
    "update": "update",
    "same": "same",
    "delete": "delete",
    "create-replacement": "replace",
}
"""Pulumi's operations that are steps; the others are parts of one, or only looks."""
LOOKS = ("same", "read", "refresh")
END_SECONDS = 60.0
"""How long an engine that was told to stop may finish what has begun."""
=======
from ops.pulumi_errors import told_by
>>>>>>> engine

Program = Callable[[], None]


class PulumiCli:
    """A stack that the real engine keeps.

    Args:
        directory: its project, state and locks; made by the first update.
        program: the path of ``__main__.py``.
        project: the project's name; beside the program lies its Pulumi.yaml.
        stack: the stack's name.
        packages: the providers that the program uses.
    """

    def __init__(
        self, directory: Path, program: Path, *, project: str, stack: str, packages: Sequence[str] = PACKAGES
    ) -> None:
        self._directory = directory
        self._packages = packages
        self._program = program
        self._project, self._stack = project, stack

    @property
    def record(self) -> UpdateRecord:
        """What is known of its updates."""
        return UpdateRecord.read(self._record_file)

    def update(
        self, registry: Registry, config: Mapping[str, str], told: Told, *, choice: str = "", refresh: bool = False
    ) -> None:
        """``pulumi up`` of the program.

        Args:
            registry: the provisioners that the engine is given.
            config: full keys to values, objects as JSON.
            told: who hears of steps.
            choice: the consumer that this update chooses; recorded until the update has ended.
            refresh: look first at what is there; needed when the emulator may have lost something.

        Raises:
            ControlError: PULUMI_CLI_MISSING, PULUMI_CLI_UNFIT, STACK_BUSY.
            EngineError: a step failed; what succeeded is kept.
            Whatever the program raises.
        """
        refusals: list[BaseException] = []

        def begin() -> None:
            record = self.record
            record.updates, record.unfinished = record.updates + 1, choice
            record.write(self._record_file)
            told.on_begin()

        with self.opened(registry, config, lambda: self._run_program(refusals)) as stack:
            listener = Listener(Told(on_step=told.on_step, on_begin=begin))
            if self._pending():
                # Of an engine that was killed. On this machine nobody else knows of them, so they are cleared here.
                looks = Listener(NOBODY)
                with self._failing(looks, refusals):
                    stack.refresh(clear_pending_creates=True, on_event=looks.hear, color="never")
            with self._failing(listener, refusals):
                result = stack.up(on_event=listener.hear, color="never", refresh=refresh or None)
        if not listener.begun:
            begin()
        record = self.record
        record.outputs = {name: output.value for name, output in result.outputs.items()}
        record.unfinished = None
        record.write(self._record_file)

    def destroy(self, registry: Registry, config: Mapping[str, str], told: Told = NOBODY) -> None:
        """``pulumi destroy``, with the program: queues that are deleted have hooks, and only it can register them.

        Raises:
            ControlError, EngineError: as ``update``.
        """
        refusals: list[BaseException] = []
        with self.opened(registry, config, lambda: self._run_program(refusals)) as stack:
            listener = Listener(told)
            with self._failing(listener, refusals):
                stack.destroy(on_event=listener.hear, color="never", run_program=True)

    def forget(self, registry: Registry, kind: str) -> None:
        """Delete every resource of one type; the next update with ``refresh`` creates it again."""
        for resource in self._resources():
            if resource["type"] == kind:
                registry.provisioner(kind).delete(resource["id"], resource["inputs"])

    def _resources(self) -> list[dict[str, Any]]:
        return self._latest().get("resources") or []

    def _pending(self) -> list[dict[str, Any]]:
        """Operations that began and of which nobody knows whether they ended."""
        return self._latest().get("pending_operations") or []

    def _latest(self) -> dict[str, Any]:
        # The backend's own file: asking the CLI would take a second of every `down`. tests/engine holds its form.
        file = self._directory / "backend" / ".pulumi" / "stacks" / self._project / f"{self._stack}.json"
        return (json.loads(file.read_text())["checkpoint"]["latest"] or {}) if file.exists() else {}

    @contextmanager
    def opened(
        self, registry: Registry, config: Mapping[str, str], program: Program | None = None
    ) -> Iterator[automation.Stack]:
        """The stack by the Automation API, with the provisioners attached, as long as it is entered.

        Args:
            registry: the provisioners that the engine is given.
            config: full keys to values, objects as JSON.
            program: None for the stack's own.

        Raises:
            ControlError: PULUMI_CLI_MISSING, PULUMI_CLI_UNFIT, STACK_BUSY.
        """
        with quiet(), closing(), serve(registry, self._packages) as attached:
            yield self._open(attached, config, program or (lambda: self._run_program([])))

    @property
    def _record_file(self) -> Path:
        return self._directory / "record.json"

    def _open(self, attached: str, config: Mapping[str, str], program: Program) -> automation.Stack:
        self._write_project(config)
        backend = self._directory / "backend"
        backend.mkdir(exist_ok=True)
        options = automation.LocalWorkspaceOptions(
            work_dir=str(self._directory),
            pulumi_home=str(self._directory / "home"),
            pulumi_command=command(),
            project_settings=None,
            env_vars={
                "PULUMI_BACKEND_URL": backend.as_uri(),
                # Nothing of this stack is secret but the key, which no engine ever sees.
                "PULUMI_CONFIG_PASSPHRASE": "",
                "PULUMI_DEBUG_PROVIDERS": attached,
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
                "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
        )
        with self._failing(Listener(NOBODY), []):
            stack = automation.create_or_select_stack(
                self._stack, project_name=self._project, program=program, opts=options
            )
            self._drop_stale_lock(stack, backend)
        return stack

    def _write_project(self, config: Mapping[str, str]) -> None:
        """The project's files; the stack's keeps what Pulumi wrote into it."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(self._program.parent / "Pulumi.yaml", self._directory / "Pulumi.yaml")
        file = self._directory / f"Pulumi.{self._stack}.yaml"
        kept = yaml.safe_load(file.read_text()) if file.exists() else {}
        values = {key: _value(value) for key, value in config.items()}
        partial = file.with_suffix(".partial")
        partial.write_text(yaml.safe_dump({**(kept or {}), "config": values}))
        partial.replace(file)

    def _run_program(self, refusals: list[BaseException]) -> None:
        try:
            runpy.run_path(str(self._program), run_name="__main__")
        except Exception as error:
            # The caller gets the error itself. The engine is told in a sentence, without a traceback.
            refusals.append(error)
            raise RunError(str(error)) from error

    def _drop_stale_lock(self, stack: automation.Stack, backend: Path) -> None:
        """Remove the locks of engines that were killed; a lock of one that runs is left.

        The caller holds the state directory alone, so whoever wrote a lock and does not run any more never comes back.
        """
        locks = list((backend / ".pulumi" / "locks").rglob("*.json"))
        if locks and not any(is_running(yaml.safe_load(lock.read_text())["pid"]) for lock in locks):
            stack.cancel()

    @contextmanager
    def _failing(self, listener: "Listener", refusals: list[BaseException]) -> Iterator[None]:
        """Turn a failing CLI into the program's own error, or into one that says the cause."""
        try:
            yield
        except automation.ConcurrentUpdateError as error:
            raise ControlError(
                f"STACK_BUSY: a Pulumi engine is still at work on the stack in {self._directory}. Way out: wait until "
                "it has ended, then again."
            ) from error
        except automation.CommandError as error:
            if refusals:
                raise refusals[0] from None
            raise EngineError(listener.cause or told_by(error)) from error


<<<<<<< HEAD
class Listener:
    """Makes steps of the engine's event stream.

    Args:
        told: who hears of them.
    """

    def __init__(self, told: Told) -> None:
        self._told = told
        self._diagnostics = Diagnostics()
        self.begun = False

    def hear(self, event: automation.EngineEvent) -> None:
        """Take one event."""
        self._diagnostics.note(event)
        if event.resource_pre_event is not None:
            metadata = event.resource_pre_event.metadata
            if not self.begun and metadata.op not in LOOKS and not _is_bookkeeping(metadata):
                self.begun = True
                self._told.on_begin()
        if event.res_outputs_event is not None:
            metadata = event.res_outputs_event.metadata
            if metadata.op in OPERATIONS and not _is_bookkeeping(metadata):
                self._told.on_step(_step(metadata))

    @property
    def cause(self) -> str:
        """What stopped the update, in the words of the diagnostics; empty when there were none."""
        return self._diagnostics.cause()


class _Command(automation.PulumiCommand):
    """Runs the CLI so that Ctrl-C reaches it once, and so that nobody goes on before it has ended."""

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
    """End the program's hooks at once. An engine that is told to stop waits for them, and they may wait for minutes."""
    for servicer in list(_CallbackServicer._servicers):
        if not servicer._loop.is_closed():
            asyncio.run_coroutine_threadsafe(servicer._server.stop(grace=0), servicer._loop)


@contextmanager
def _quiet() -> Iterator[None]:
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


def _command() -> automation.PulumiCommand:
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


def _is_bookkeeping(metadata: Any) -> bool:
    """Whether a step makes nothing: the stack itself, a component, or a provider's configuration."""
    state = metadata.new or metadata.old
    return metadata.type == STACK_TYPE or metadata.type.startswith("pulumi:providers:") or not (state and state.custom)


def _step(metadata: Any) -> Step:
    old, new = (dict(state.inputs or {}) if state else {} for state in (metadata.old, metadata.new))
    keys = sorted(key.split(".")[0].split("[")[0] for key in metadata.diffs or ())
    summary = "; ".join(tell_change(key, old.get(key), new.get(key)) for key in dict.fromkeys(keys))
    return Step(
        operation=OPERATIONS[metadata.op],
        type=metadata.type,
        name=metadata.urn.split("::")[-1],
        urn=metadata.urn,
        summary=summary,
    )


=======
>>>>>>> engine
def _value(value: str) -> Any:
    """A setting as a stack's file holds it: objects and lists as such, anything else as it was given."""
    return yaml.safe_load(value) if value[:1] in "[{" else value
