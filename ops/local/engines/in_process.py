"""The default engine: evaluates a Pulumi program in this process and makes what it declares. No CLI.

It does what Pulumi's own engine would do, in the same order, and tests/engine compares the two. It uses interfaces
of pulumi.runtime that are half private; pulumi is pinned exactly and ``tests/local`` checks them.
"""

import asyncio
import contextvars
import runpy
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import mocks
from pulumi.runtime.settings import SETTINGS, configure
from pulumi.runtime.stack import run_in_stack

from ops.local.engines.monitor import ProvisioningMonitor
from ops.local.engines.steps import NOBODY, EngineError, Told
from ops.local.provisioners import Registry
from ops.local.state import StackState, UpdateRecord


class InProcess:
    """A stack that this process makes, without any CLI.

    Args:
        state_file: where its state is kept.
        program: the path of ``__main__.py``.
        project: the project's name.
        stack: the stack's name.
    """

    def __init__(self, state_file: Path, program: Path, *, project: str, stack: str) -> None:
        self._state_file = state_file
        self._program = program
        self._project, self._stack = project, stack

    @property
    def record(self) -> UpdateRecord:
        """What is known of its updates."""
        state = StackState.read(self._state_file)
        return UpdateRecord(outputs=state.outputs, updates=state.updates, unfinished=state.unfinished)

    def update(
        self, registry: Registry, config: Mapping[str, str], told: Told, *, choice: str = "", refresh: bool = False
    ) -> None:
        """Evaluate the program and make what it declares.

        Args:
            registry: the provisioners.
            config: full keys to values, objects as JSON.
            told: who hears of steps.
            choice: the consumer that this update chooses; recorded until the update has ended.
            refresh: not needed: what the emulator may have lost was taken out of the state by ``forget``.

        Raises:
            EngineError: a step failed; what succeeded is kept.
            Whatever the program raises.
        """
        del refresh
        monitor = ProvisioningMonitor(registry, self._state_file, told, choice=choice)
        evaluate(self._program, project=self._project, stack=self._stack, config=config, monitor=monitor)

    def destroy(self, registry: Registry, config: Mapping[str, str], told: Told = NOBODY) -> None:
        """Delete everything; without hooks, since the program does not run."""
        del config
        ProvisioningMonitor(registry, self._state_file, told).delete_all()

    def forget(self, registry: Registry, kind: str) -> None:
        """Delete every resource of one type; the next update creates it again."""
        ProvisioningMonitor(registry, self._state_file).delete_type(kind)


def evaluate(
    program: Path, *, project: str, stack: str, config: Mapping[str, str], monitor: ProvisioningMonitor
) -> None:
    """Run a program once and make what it declares; then delete what it declares no more.

    Args:
        program: the path of ``__main__.py``.
        project: the project's name.
        stack: the stack's name.
        config: full keys (``namespace:key``) to values, objects as JSON.
        monitor: holds the state and the provisioners.

    Raises:
        Whatever the program raises; EngineError for a step that failed.
    """
    failures: list[BaseException] = []

    def declare() -> Awaitable[None]:
        try:
            _run_fresh(program)
            # Registrations begin while this gives way once. Where none has begun when Pulumi looks, it waits for the
            # first of all open outputs, then for the first of the rest, and so on: a time that grows with their square
            # (pulumi 3.272.0, findings/pulumi-outputs-are-awaited-in-quadratic-time.sh).
            return asyncio.sleep(0)
        except BaseException as error:
            # Nothing is made before the program has run through, so a program that refuses changes nothing.
            failures.append(error)
            monitor.interrupt()
            raise

    def run() -> None:
        pulumi.runtime.set_all_config(dict(config))
        features = set(monitor.GetDeploymentInfo(empty_pb2.Empty()).supportedFeatures)
        configure(
            mocks.MockSettings(
                monitor=monitor,
                monitor_features=features,
                engine=mocks.MockEngine(None),
                project=project,
                stack=stack,
                dry_run=False,
                organization="local",
                callbacks=None,
            )
        )
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(run_in_stack(declare))
        except KeyboardInterrupt:
            monitor.interrupt()
            raise
        except EngineError:
            if failures:
                # The steps that could not begin say less than the program's own error.
                raise failures[0] from None
            raise
        finally:
            # After a failure or Ctrl-C registrations still wait for others: they end here, and say nothing more.
            # Futures of resources that failed hold the same error again; it was raised already.
            loop.set_exception_handler(lambda *_: None)
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_default_executor())
            _drop_open_outputs()
            asyncio.set_event_loop(None)
            loop.close()
            monitor.close_loops()

    contextvars.copy_context().run(run)
    monitor.delete_missing()
    monitor.finish()


def _drop_open_outputs() -> None:
    """What a program that failed left open would be in the way of the next one of this process."""
    settings: Any = SETTINGS  # Pulumi declares these properties as methods.
    with settings.lock:
        settings.outputs.clear()


def _run_fresh(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")
