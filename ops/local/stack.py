"""The local stack as its users see it: up, down, status, outputs.

It starts one supervisor, which owns all processes, and evaluates one program, which declares all resources. What only
an update needs, Pulumi above all, is imported by the update: every command that reads a stack comes by here.

Longer than most modules: it is where the parts of the local stack are put together, and the parts are elsewhere.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.local.control import ControlError, SupervisorClient, make_private
from ops.local.emulator import UNSAVED_FILE, EmulatorError
from ops.local.engines import Engine, EngineName
from ops.local.engines.steps import Step, Told
from ops.local.paths import DEFAULT_STATE_DIRECTORY, PORTS_FILE, SOURCE, TIMELINE_FILE
from ops.local.ports import free_ports, taken
from ops.local.provisioners import Registry
from ops.local.provisioners.context import Context, client_options, make_client
from ops.local.runtime_interface import LOOPBACK
from ops.local.state import RECORD_FILE, StackState, UpdateRecord
from ops.local.timeline import TimelineEntry, read_timeline
from pipeline.files import replace_file

PROJECT, STACK = "receipts", "local"
SETTINGS_FILE = "settings.json"
LOCK_FILE = "change.lock"
PROCESS_FILE = "supervisor.pid"
STATE_FILE, PULUMI_DIRECTORY = "stack.json", "pulumi"
"""What the engines keep: the in-process one a file, Pulumi's a directory."""
START_SECONDS = 40.0
KEY_VARIABLE = "OPENAI_API_KEY"
SECRET_TYPE = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type token
STOP_SECONDS = 150.0
"""A worker may take its whole stop timeout (ECS: 120 s)."""


class MissingKeyError(Exception):
    """The embedder needs a key that the shell does not have."""


@dataclass(frozen=True, kw_only=True)
class UpResult:
    """What an update did and what the stack exports now."""

    steps: tuple[Step, ...]
    outputs: Mapping[str, Any]

    @property
    def changes(self) -> tuple[Step, ...]:
        """The resources that were changed."""
        return tuple(step for step in self.steps if step.operation not in ("same", "hook"))

    @property
    def unchanged(self) -> int:
        """How many resources were left alone."""
        return sum(step.operation == "same" for step in self.steps)


class LocalStack:
    """The stack in one state directory. As a context manager it stops what runs when it is left, however it is left.

    Args:
        state_directory: everything of this stack is in it.
    """

    def __init__(self, state_directory: Path = DEFAULT_STATE_DIRECTORY) -> None:
        self.state_directory = state_directory.resolve()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()

    def up(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        engine: EngineName | None = None,
        on_step: Callable[[Step], object] = id,
        on_begin: Callable[[], object] = lambda: None,
        after: int | None = None,
    ) -> UpResult:
        """Start what does not run and make what the program declares; an update when it exists already.

        Args:
            overrides: settings over those of ``Pulumi.local.yaml``, without namespace: ``{"embedConsumer": "ecs"}``;
                they are kept for the next update from the first change on, so that an update which fails or is
                interrupted is completed by the next one; those that the program refuses are not kept.
            engine: who makes it; None for the one that the state is of, and for the in-process one where there is none.
            on_step: called with every step as it ends.
            on_begin: called once, right before the first change; not called when nothing was changed.
            after: the number of the update that must be the stack's last (``updates``); any when None.

        Raises:
            ControlError: STACK_BUSY, another command is changing the stack; UPDATE_OVERTAKEN, ``after`` is not the
                last update any more; ENGINE_DIFFERS, the state is of the other engine; PULUMI_CLI_MISSING,
                PULUMI_CLI_UNFIT. Nothing was changed.
            EmulatorError: the emulator did not start, or was killed and lost what the state claims.
            EngineError: a step failed; what succeeded is kept.
            MissingKeyError: the openai embedder is chosen and the shell has no key.
            StackRefusal, SettingsRefused, ClaimRefused: the program refuses the settings; nothing was changed.
        """
        with self._alone():
            if after is not None and after != self.updates():
                raise ControlError(
                    "UPDATE_OVERTAKEN: somebody else has updated the stack since it was looked at; nothing was "
                    "changed. Way out: receipts audit shows what the stack is now; then decide again."
                )
            return self._up(overrides or {}, self._engine(engine), on_step, on_begin)

    def _up(
        self,
        overrides: Mapping[str, Any],
        engine: Engine,
        on_step: Callable[[Step], object],
        on_begin: Callable[[], object],
    ) -> UpResult:
        from one_consumer.claim.refusals import ClaimRefused  # noqa: PLC0415 - it imports Pulumi
        from stack.errors import SettingsRefused, StackRefusal  # noqa: PLC0415 - it imports Pulumi

        started_here = not self.is_running()
        if started_here:
            self._refuse_unsaved()
            self._start()
        elif self._emulator_is_lost():
            raise EmulatorError(
                f"the emulator of the stack in {self.state_directory} has ended and took along what it held, so the "
                "kept state is not true. Way out: receipts local down --destroy, then up again"
            )
        before = self.settings()
        settings = {**before, **overrides}
        steps: list[Step] = []

        def begin() -> None:
            # As `pulumi config set` does it: the update that goes on after this one makes the same choice.
            self._keep_settings(settings)
            on_begin()

        def tell(step: Step) -> None:
            steps.append(step)
            on_step(step)

        try:
            if started_here:
                # The supervisor removed the secret when it ended, also where `down` was not what ended it.
                self._take_key_back()
            config = self._config(settings)
            choice = str(config.get(f"{PROJECT}:embedConsumer", ""))
            told = Told(on_step=tell, on_begin=begin)
            try:
                with self._registry() as registry:
                    engine.update(registry, config, told, choice=choice, refresh=started_here)
            except (SettingsRefused, StackRefusal, ClaimRefused):
                # Kept, they would be refused by every later update as well.
                self._keep_settings(before)
                raise
            outputs = engine.record.outputs
            self._hand_over_key(outputs)
        except BaseException:
            if started_here:
                self._down()
            raise
        return UpResult(steps=tuple(steps), outputs=outputs)

    def down(self, *, destroy: bool = False) -> None:
        """Stop everything; with ``destroy`` delete every resource and the state as well."""
        if self.state_directory.exists():
            with self._alone():
                self._down(destroy=destroy)

    def _down(self, *, destroy: bool = False) -> None:
        if self._emulator_is_lost():
            # Nothing of it can be deleted one by one any more.
            self._supervisor.shut_down()
            self._await_end()
        if destroy and self.engine_name() is not None:
            if not self.is_running():
                self._start()
            with self._registry() as registry:
                self._engine().destroy(registry, self.configuration())
        if self.is_running():
            self._take_key_back()
            self._supervisor.shut_down()
        self._await_end()
        if destroy:
            shutil.rmtree(self.state_directory, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one at a time changes the stack: two updates would each keep a state that the other one changed."""
        self.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.state_directory / LOCK_FILE).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ControlError(
                    f"STACK_BUSY: somebody else is changing the stack in {self.state_directory}. "
                    "Way out: wait until that command has ended."
                ) from None
            make_private(self.state_directory)
            yield

    def is_running(self) -> bool:
        """True when the supervisor answers."""
        return (self.state_directory / PORTS_FILE).exists() and self._supervisor.answers()

    def _emulator_is_lost(self) -> bool:
        """Whether the supervisor runs and its emulator does not."""
        return self.is_running() and self._supervisor.status()["emulator"]["process"] is None

    def status(self) -> dict[str, Any]:
        """What runs, with process ids; and where the state is."""
        running = self.is_running()
        processes = self._supervisor.status() if running else {}
        return {"running": running, "state": str(self.state_directory), **processes}

    def lost_processes(self) -> list[str]:
        """The processes that should run and do not, while the supervisor does."""
        return ["the emulator"] if self._emulator_is_lost() else []

    def taken_ports(self) -> tuple[int, ...]:
        """Of the ports that this stack keeps, those that somebody listens on; its own processes too, while it is up."""
        return taken(self._ports.values()) if (self.state_directory / PORTS_FILE).exists() else ()

    def settings(self) -> dict[str, Any]:
        """The settings that were given over those of ``Pulumi.local.yaml``, by this update or an earlier one."""
        path = self.state_directory / SETTINGS_FILE
        return json.loads(path.read_text()) if path.exists() else {}

    def configuration(self) -> dict[str, str]:
        """What the next update would be configured with: ``Pulumi.local.yaml``, and the settings given over it."""
        return self._config(self.settings())

    def timeline(self) -> list[TimelineEntry]:
        """Who worked when, oldest first."""
        return list(read_timeline(self.state_directory / TIMELINE_FILE))

    def outputs(self) -> dict[str, Any]:
        """What the program exported last."""
        return self._record.outputs

    def updates(self) -> int:
        """How many updates have begun to change something, whoever made them: the number of the last one."""
        return self._record.updates

    def unfinished(self) -> str | None:
        """The consumer that an update chose which has begun and has not ended well; None when there is none."""
        return self._record.unfinished

    def client_options(self) -> dict[str, Any]:
        """How boto3 reaches this stack's emulator."""
        return client_options(self._endpoint)

    def engine_name(self) -> EngineName | None:
        """The engine that the state is of; None when there is no state yet."""
        if (self.state_directory / PULUMI_DIRECTORY).exists():
            return "pulumi"
        return "in-process" if (self.state_directory / STATE_FILE).exists() else None

    def _engine(self, wanted: EngineName | None = None) -> Engine:
        """The engine.

        Raises:
            ControlError: ENGINE_DIFFERS.
        """
        kept = self.engine_name()
        if kept and wanted and kept != wanted:
            raise ControlError(
                f"ENGINE_DIFFERS: the stack in {self.state_directory} was made by the engine {kept}, and the engine "
                f"{wanted} cannot read its state; nothing was changed. Way out: leave --engine away and go on with "
                f"{kept}; or `receipts local down --destroy`, `receipts local up --engine {wanted}`, and upload again."
            )
        program = SOURCE / "__main__.py"
        if (wanted or kept) == "pulumi":
            from ops.local.engines.pulumi_cli import PulumiCli  # noqa: PLC0415 - the Automation API takes a third of a second

            return PulumiCli(self.state_directory / PULUMI_DIRECTORY, program, project=PROJECT, stack=STACK)
        from ops.local.engines.in_process import InProcess  # noqa: PLC0415 - it imports Pulumi

        return InProcess(self.state_directory / STATE_FILE, program, project=PROJECT, stack=STACK)

    @property
    def _record(self) -> UpdateRecord:
        if self.engine_name() == "pulumi":
            return UpdateRecord.read(self.state_directory / PULUMI_DIRECTORY / RECORD_FILE)
        return StackState.read(self.state_directory / STATE_FILE)

    @property
    def _ports(self) -> dict[str, int]:
        return json.loads((self.state_directory / PORTS_FILE).read_text())

    @property
    def _endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['emulator']}"

    @property
    def _supervisor(self) -> SupervisorClient:
        return SupervisorClient(self.state_directory, f"http://{LOOPBACK}:{self._ports['supervisor']}")

    @contextmanager
    def _registry(self) -> Iterator[Registry]:
        from ops.local.provisioners.registry import build_registry  # noqa: PLC0415 - only an update makes resources

        context = Context(
            endpoint=self._endpoint,
            supervisor=self._supervisor,
            source=SOURCE,
            state_directory=self.state_directory,
        )
        try:
            yield build_registry(context)
        finally:
            context.close()

    def _hand_over_key(self, outputs: Mapping[str, Any]) -> None:
        """Give the emulator's secret the shell's key; it is held in memory only."""
        secret = outputs.get("openaiApiKeySecretArn")
        if not secret:
            return
        key = os.environ.get(KEY_VARIABLE)
        if not key:
            raise MissingKeyError(
                f"receipts:embedder is openai and {KEY_VARIABLE} is not set. Way out: export it in this shell, or "
                "choose the embedder hashing"
            )
        client = make_client("secretsmanager", self.client_options())
        client.put_secret_value(SecretId=secret, SecretString=key)

    def _take_key_back(self) -> None:
        """Remove the secret before the emulator saves its state: no key on disk. The next ``up`` makes it again."""
        with self._registry() as registry:
            self._engine().forget(registry, SECRET_TYPE)

    def _refuse_unsaved(self) -> None:
        if (self.state_directory / "emulator" / UNSAVED_FILE).exists():
            raise EmulatorError(
                f"the stack in {self.state_directory} was killed before the emulator saved its state: what it held is "
                "lost, so the kept state is not true. Way out: receipts local down --destroy, or remove that directory"
            )

    def _keep_settings(self, settings: Mapping[str, Any]) -> None:
        replace_file(self.state_directory / SETTINGS_FILE, json.dumps(settings, indent=1))

    def _config(self, settings: Mapping[str, Any]) -> dict[str, str]:
        import yaml  # noqa: PLC0415 - only an update reads settings

        declared = yaml.safe_load((SOURCE / f"Pulumi.{STACK}.yaml").read_text())["config"]
        merged = {
            **declared,
            **self._provider(),
            **{f"{PROJECT}:{key}": value for key, value in settings.items()},
        }
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in merged.items()}

    def _provider(self) -> dict[str, Any]:
        """The configuration of Pulumi's AWS provider for the emulator; the hooks reach it by that."""
        options = self.client_options()
        return {
            "aws:endpoints": [{"sqs": options["endpoint_url"]}],
            "aws:accessKey": options["aws_access_key_id"],
            "aws:secretKey": options["aws_secret_access_key"],
        }

    def _start(self) -> None:
        ports_file = self.state_directory / PORTS_FILE
        if not ports_file.exists():
            # Kept from now on: the addresses of queues contain the emulator's.
            emulator, supervisor = free_ports(2)
            replace_file(ports_file, json.dumps({"emulator": emulator, "supervisor": supervisor}))
        log_file = self.state_directory / "supervisor.log"
        with log_file.open("ab") as log:
            self._process = process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "ops.local.supervisor", str(self.state_directory)],
                cwd=SOURCE,
                # The key goes to the emulator's secret alone, not into the environment of every child.
                env={name: value for name, value in os.environ.items() if name != KEY_VARIABLE},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for the command, which then stops the supervisor in order.
                start_new_session=True,
            )
        replace_file(self.state_directory / PROCESS_FILE, str(process.pid))
        deadline = time.monotonic() + START_SECONDS
        try:
            while not self._supervisor.answers():
                if process.poll() is not None:
                    tail = log_file.read_text(errors="replace")[-500:]
                    raise EmulatorError(f"the supervisor ended with {process.returncode}; {log_file} ends: {tail}")
                if time.monotonic() > deadline:
                    raise EmulatorError(f"the supervisor did not answer in {START_SECONDS:.0f} s; see {log_file}")
                time.sleep(0.05)
        except BaseException:
            process.terminate()
            process.wait(STOP_SECONDS)
            raise

    def _await_end(self) -> None:
        pid_file = self.state_directory / PROCESS_FILE
        if not pid_file.exists():
            return
        if self._process is not None:
            # Our own child: it must be reaped as well.
            self._process.wait(STOP_SECONDS)
            self._process = None
        process_id = int(pid_file.read_text())
        deadline = time.monotonic() + STOP_SECONDS
        while _is_alive(process_id):
            if time.monotonic() > deadline:
                raise EmulatorError(f"supervisor {process_id} did not end in {STOP_SECONDS:.0f} s")
            time.sleep(0.05)
        pid_file.unlink()


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
