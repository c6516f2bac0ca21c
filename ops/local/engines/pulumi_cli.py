"""The real Pulumi engine on this machine: the CLI, driven by the Automation API, with the provisioners attached to it.

Its project, its state and its locks are in a directory of their own; the user's Pulumi login and stacks are not
touched. It is optional: a stack comes up without it by ``in_process.py``.
"""

import json
import runpy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pulumi import RunError, automation

from ops.local.control import ControlError
from ops.local.engines.cli_process import closing, command, is_running, quiet
from ops.local.engines.events import Listener
from ops.local.engines.provider import PACKAGES, serve
from ops.local.engines.steps import NOBODY, EngineError, Told
from ops.local.provisioners import Registry
from ops.local.state import RECORD_FILE, UpdateRecord
from ops.pulumi_errors import told_by
from pipeline.files import replace_file

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
                # A killed engine left them. On this machine nothing else clears them.
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
        """Operations that began and may or may not have ended."""
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
        return self._directory / RECORD_FILE

    def _open(self, attached: str, config: Mapping[str, str], program: Program) -> automation.Stack:
        # Before anything is written: without a CLI, a directory that is still empty is of no engine.
        cli = command()
        self._write_project(config)
        backend = self._directory / "backend"
        backend.mkdir(exist_ok=True)
        _remove_sidecars(backend)
        options = automation.LocalWorkspaceOptions(
            work_dir=str(self._directory),
            pulumi_home=str(self._directory / "home"),
            pulumi_command=cli,
            env_vars={
                "PULUMI_BACKEND_URL": f"{backend.as_uri()}?metadata=skip",
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
        replace_file(self._directory / "Pulumi.yaml", (self._program.parent / "Pulumi.yaml").read_bytes())
        file = self._directory / f"Pulumi.{self._stack}.yaml"
        kept = yaml.safe_load(file.read_text()) if file.exists() else {}
        values = {key: _value(value) for key, value in config.items()}
        replace_file(file, yaml.safe_dump({**(kept or {}), "config": values}))

    def _run_program(self, refusals: list[BaseException]) -> None:
        try:
            runpy.run_path(str(self._program), run_name="__main__")
        except Exception as error:
            # The caller gets the error itself. The engine gets a sentence, without a traceback.
            refusals.append(error)
            raise RunError(str(error)) from error

    def _drop_stale_lock(self, stack: automation.Stack, backend: Path) -> None:
        """Remove the locks of engines that were killed; a lock of one that runs is left.

        The caller holds the state directory alone, so a lock whose process has ended is stale.
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


def _remove_sidecars(backend: Path) -> None:
    """Remove the files of attributes that the backend writes beside its objects, unless its address forbids it.

    It empties and then fills them, so an engine that was killed in between left a state that nobody could load ("failed
    to load checkpoint: EOF") although the state itself was whole (docs/facts.md, "Attributes beside a state").
    """
    for sidecar in backend.rglob("*.attrs"):
        sidecar.unlink()


def _value(value: str) -> Any:
    """A setting as a stack's file holds it: objects and lists as such, anything else as it was given."""
    return yaml.safe_load(value) if value[:1] in "[{" else value
