"""Evaluates a Pulumi program in-process and makes what it declares: create, update, replace, delete, same. No CLI.

It stands on interfaces of pulumi.runtime that are half private; pulumi is pinned exactly and ``tests/local`` holds the
contract. It checks nothing that a provider would check: the program refuses by itself.
"""

import asyncio
import contextvars
import graphlib
import json
import runpy
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import mocks, rpc
from pulumi.runtime._callbacks import _CallbackServicer
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import configure
from pulumi.runtime.stack import run_in_stack
from pulumi.runtime.sync_await import _ensure_event_loop, _sync_await

from ops.local.provisioners import Provisioner, Registry
from ops.local.state import ResourceState, StackState

Operation = Literal["create", "update", "replace", "delete", "same", "hook"]
_Callback = Callable[[bytes], Awaitable[Any]]
STACK_TYPE = "pulumi:pulumi:Stack"
SUMMARY_LIMIT = 60


class EngineError(Exception):
    """The program or a step failed; what succeeded before is in the state."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One resource and what was done about it.

    Attributes:
        summary: the properties that changed, or the hook that was run before or after.
        at: when it ended, in seconds since the epoch.
    """

    operation: Operation
    type: str
    name: str
    urn: str
    summary: str = ""
    at: float = field(default_factory=time.time)


class ProvisioningMonitor(mocks.MockMonitor):
    """Pulumi's resource monitor, with provisioners behind it instead of an engine.

    Args:
        registry: a provisioner for each resource type.
        state_file: where the state is kept.
        on_step: called with every step as it ends.
        on_begin: called once, right before the first change; never called when the program or its settings are
            refused before anything has changed.
        choice: the consumer that this update chooses; kept in the state until the update has ended.
    """

    def __init__(
        self,
        registry: Registry,
        state_file: Path,
        on_step: Callable[[Step], object],
        *,
        on_begin: Callable[[], object] = lambda: None,
        choice: str = "",
    ) -> None:
        super().__init__(_Invokes(registry))
        self._registry = registry
        self._state_file = state_file
        self._on_step = on_step
        self._on_begin = on_begin
        self._choice = choice
        self._begun = False
        self._interrupted = False
        self._running_hooks: dict[asyncio.Task[Any], asyncio.AbstractEventLoop] = {}
        self._outputs: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._seen: set[str] = set()
        self._loops: dict[int, asyncio.AbstractEventLoop] = {}
        self._hooks: dict[str, _Callback] = {}
        self.state = StackState.read(state_file)
        self.steps: list[Step] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Create, update or keep one resource, after all that it depends on."""
        self._own_loop()
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        with self._lock:
            if urn in self._seen:
                raise EngineError(f"duplicate URN {urn}: two resources of one type and one name")
            self._seen.add(urn)
        inputs: dict[str, Any] = rpc.deserialize_properties(request.object)
        if not request.custom:
            return self._respond(urn, "", inputs)
        plain = json.loads(json.dumps(inputs, sort_keys=True, default=str))
        before = self.state.resources.get(urn)
        try:
            state = self._apply(urn, request.type, request.name, plain, request.hooks)
        except EngineError:
            raise
        except Exception as error:
            # Whatever a provisioner raises, the reader must learn which resource it was.
            raise EngineError(f"{request.type} {request.name}: {type(error).__name__}: {error}") from error
        dependencies, before_delete = sorted(set(request.dependencies)), list(request.hooks.before_delete)
        with self._lock:
            known = state is before and dependencies == state.dependencies and before_delete == state.before_delete
            state.dependencies, state.before_delete = dependencies, before_delete
            self.state.resources[urn] = state
            if not known:
                self.state.write(self._state_file)
        return self._respond(urn, state.identifier, {**inputs, **state.outputs})

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Keep the stack's exports until the update has ended: one that fails or is interrupted exports nothing."""
        self._own_loop()
        if request.urn.split("::")[2] == STACK_TYPE:
            outputs = rpc.deserialize_properties(request.outputs)
            self._outputs = json.loads(json.dumps(outputs, default=str))
        return empty_pb2.Empty()

    def RegisterResourceHook(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Keep a hook's callback; it is called here, without the way over gRPC that Pulumi's engine must take."""
        (callback,) = (
            servicer._callbacks[request.callback.token]
            for servicer in _CallbackServicer._servicers
            if request.callback.token in servicer._callbacks
        )
        with self._lock:
            self._hooks[request.name] = callback
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Answer a data source."""
        self._own_loop()
        return super().Invoke(request)

    def close_loops(self) -> None:
        """Close the event loops that Pulumi made for its threads; it never does."""
        for loop in self._loops.values():
            loop.close()
        self._loops.clear()

    def _own_loop(self) -> None:
        # Requests come in threads, and serializing an output needs a loop on each.
        loop = _ensure_event_loop()
        with self._lock:
            self._loops[threading.get_ident()] = loop

    def delete_missing(self) -> None:
        """Delete what the program no longer declares; last of all, dependents first, each after its hooks."""
        if missing := [urn for urn in self.state.resources if urn not in self._seen]:
            self._begin()
            self._delete(missing, hooks=True)

    def finish(self) -> None:
        """The update has ended well: its outputs become the stack's."""
        with self._lock:
            self._begin()
            self.state.outputs, self.state.unfinished = self._outputs, None
            self.state.write(self._state_file)

    def interrupt(self) -> None:
        """Begin no further step and stop waiting in hooks; a step that is being made is finished."""
        with self._lock:
            self._interrupted = True
            for task, loop in self._running_hooks.items():
                loop.call_soon_threadsafe(task.cancel)

    def _begin(self) -> None:
        """Before every change: note in the state that an update has begun, so that a killed one can be told.

        Raises:
            EngineError: the update was interrupted.
        """
        with self._lock:
            if self._interrupted:
                raise EngineError("interrupted before this step began")
            if not self._begun:
                self._begun = True
                self.state.updates += 1
                self.state.unfinished = self._choice
                self.state.write(self._state_file)
                self._on_begin()

    def delete_type(self, kind: str) -> None:
        """Delete every resource of one type; the next evaluation creates it again."""
        self._delete([urn for urn, resource in self.state.resources.items() if resource.type == kind])

    def delete_all(self) -> None:
        """Destroy everything; without hooks, which only a program that runs can register."""
        self._delete(list(self.state.resources))
        self.state.outputs = {}
        self.state.write(self._state_file)

    def _apply(self, urn: str, kind: str, name: str, inputs: dict[str, Any], hooks: Any) -> ResourceState:
        provisioner = self._registry.provisioner(kind)
        old = self.state.resources.get(urn)
        # What is declared to be derived on this machine (the image's digest) counts as an input.
        desired = {**inputs, **provisioner.derived(inputs)}
        if old is None:
            self._begin()
            self._run_hooks(hooks.before_create, urn, kind, name)
            state = self._create(urn, kind, name, provisioner, desired)
            self._run_hooks(hooks.after_create, urn, kind, name, state.identifier)
            return state
        changed = sorted(
            {
                key
                for known in (old.inputs, old.attempted or old.inputs)
                for key in {*desired, *known}
                if desired.get(key) != known.get(key)
            }
        )
        if not changed:
            self._record(Step(operation="same", type=kind, name=name, urn=urn))
            return old
        self._begin()
        before = old.attempted or old.inputs
        summary = "; ".join(_change(key, before.get(key), desired.get(key)) for key in changed)
        if provisioner.must_replace(changed):
            self._run_hooks([*hooks.before_delete, *hooks.before_create], urn, kind, name, old.identifier)
            provisioner.delete(old.identifier, old.inputs)
            with self._lock:
                # At once: when the creation fails, the state must not claim what is gone.
                del self.state.resources[urn]
                self.state.write(self._state_file)
            state = self._create(urn, kind, name, provisioner, desired, quiet=True)
            self._record(Step(operation="replace", type=kind, name=name, urn=urn, summary=summary))
            self._run_hooks(hooks.after_create, urn, kind, name, state.identifier)
            return state
        self._run_hooks(hooks.before_update, urn, kind, name, old.identifier)
        with self._lock:
            old.attempted = desired
            self.state.write(self._state_file)
        outputs = provisioner.update(old.identifier, old.inputs, desired)
        self._record(Step(operation="update", type=kind, name=name, urn=urn, summary=summary))
        self._run_hooks(hooks.after_update, urn, kind, name, old.identifier)
        return ResourceState(
            type=kind,
            name=name,
            identifier=old.identifier,
            inputs=desired,
            outputs={**old.outputs, **outputs},
            order=old.order,
        )

    def _create(
        self,
        urn: str,
        kind: str,
        name: str,
        provisioner: Provisioner,
        inputs: dict[str, Any],
        *,
        quiet: bool = False,
    ) -> ResourceState:
        identifier, outputs = provisioner.create(name, inputs)
        with self._lock:
            order = 1 + max((item.order for item in self.state.resources.values()), default=0)
            state = ResourceState(
                type=kind, name=name, identifier=identifier, inputs=inputs, outputs=outputs, order=order
            )
            # At once, before anything else can fail: what exists must be known.
            self.state.resources[urn] = state
        if not quiet:
            self._record(Step(operation="create", type=kind, name=name, urn=urn))
        return state

    def _run_hooks(self, names: Iterable[str], urn: str, kind: str, name: str, identifier: str = "") -> None:
        """Call hooks one after the other; one that fails stops what it stands before."""
        for hook in names:
            self._begin()
            started = time.monotonic()
            request = resource_pb2.ResourceHookRequest(urn=urn, type=kind, name=name, id=identifier)
            callback = self._hooks.get(hook)
            if callback is None:
                raise EngineError(f"{kind} {name}: hook {hook} is not registered by the program any more")
            answer = self._run_alone(callback, request.SerializeToString())
            if answer.error:
                raise EngineError(f"{kind} {name}: hook {hook}: {answer.error}")
            waited = f"after {time.monotonic() - started:.1f} s"
            self._record(Step(operation="hook", type=kind, name=name, urn=urn, summary=f"{hook} {waited}"))

    def _run_alone(self, callback: _Callback, request: bytes) -> Any:
        """Call it in a loop of its own: the program's is busy with the program, or closed when the deletions come."""

        async def call() -> Any:
            return await callback(request)

        loop = asyncio.new_event_loop()
        task = loop.create_task(call())
        with self._lock:
            self._running_hooks[task] = loop
            if self._interrupted:
                task.cancel()
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise EngineError("interrupted while it waited") from None
        finally:
            with self._lock:
                del self._running_hooks[task]
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def _delete(self, urns: list[str], *, hooks: bool = False) -> None:
        for urn in self._dependents_first(urns):
            resource = self.state.resources[urn]
            if hooks:
                self._run_hooks(resource.before_delete, urn, resource.type, resource.name, resource.identifier)
            try:
                self._registry.provisioner(resource.type).delete(resource.identifier, resource.inputs)
            except Exception as error:
                raise EngineError(f"deleting {resource.type} {resource.name}: {error}") from error
            del self.state.resources[urn]
            self.state.write(self._state_file)
            self._record(Step(operation="delete", type=resource.type, name=resource.name, urn=urn))

    def _dependents_first(self, urns: list[str]) -> list[str]:
        # Age alone misleads: a replaced resource is newer than those that depend on it. It decides among equals.
        newest_first = sorted(urns, key=lambda item: self.state.resources[item].order, reverse=True)
        sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter(dict.fromkeys(newest_first, ()))
        for urn in newest_first:
            for dependency in self.state.resources[urn].dependencies:
                if dependency in urns:
                    sorter.add(dependency, urn)
        return list(sorter.static_order())

    def _record(self, step: Step) -> None:
        with self._lock:
            self.steps.append(step)
        self._on_step(step)

    def _respond(self, urn: str, identifier: str, properties: Mapping[str, Any]) -> Any:
        encoded = _sync_await(rpc.serialize_properties(dict(properties), {}))
        self.resources[urn] = mocks.MockMonitor.ResourceRegistration(urn, identifier, dict(properties))
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identifier, object=encoded)


class _Invokes(mocks.Mocks):
    """Answers data sources; resources never come here."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def call(self, args: mocks.MockCallArgs) -> Any:
        return self._registry.invoke(args.token, args.args)

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:
        raise EngineError(f"{args.typ} {args.name}: reading foreign resources is not provided on this machine")


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

    def declare() -> None:
        try:
            _run_fresh(program)
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
            asyncio.set_event_loop(None)
            loop.close()
            monitor.close_loops()

    contextvars.copy_context().run(run)
    monitor.delete_missing()
    monitor.finish()


def _run_fresh(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


def _change(key: str, old: object, new: object) -> str:
    """``key: old -> new`` where that fits a line; only that it changed where it does not."""
    shown = f"{key}: {_plain(old)} -> {_plain(new)}"
    return shown if len(shown) <= SUMMARY_LIMIT else f"{key} changed"


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
