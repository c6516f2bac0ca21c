"""Pulumi's resource monitor, with provisioners behind it instead of an engine: create, update, replace, delete, same.

Its other half is ``in_process.py``, which runs the program.

Longer than most modules: the order of an update is one algorithm.
"""

import asyncio
import graphlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from google.protobuf import empty_pb2
from pulumi.runtime import mocks, rpc
from pulumi.runtime._callbacks import _CallbackServicer
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.sync_await import _ensure_event_loop, _sync_await

from ops.local.engines.changes import checked, compare
from ops.local.engines.steps import NOBODY, STACK_TYPE, EngineError, Step, Told, tell_change
from ops.local.provisioners import Provisioner, Registry
from ops.local.state import ResourceState, StackState

_Callback = Callable[[bytes], Awaitable[Any]]


class ProvisioningMonitor(mocks.MockMonitor):
    """Pulumi's resource monitor, with provisioners behind it instead of an engine.

    Args:
        registry: a provisioner for each resource type.
        state_file: where the state is kept.
        told: who hears of steps.
        choice: the consumer that this update chooses; kept in the state until the update has ended.
    """

    def __init__(
        self,
        registry: Registry,
        state_file: Path,
        told: Told = NOBODY,
        *,
        choice: str = "",
    ) -> None:
        super().__init__(_Invokes(registry))
        self._registry = registry
        self._state_file = state_file
        self._told = told
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
            kept = (dependencies, before_delete, bool(request.protect))
            known = state is before and kept == (state.dependencies, state.before_delete, state.protect)
            state.dependencies, state.before_delete, state.protect = kept
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
        """Delete what was replaced and what the program no longer declares: last of all, each after its hooks."""
        missing = [(urn, item) for urn, item in self.state.resources.items() if urn not in self._seen]
        if doomed := [*self.state.replaced, *missing]:
            self._begin()
            self._delete(doomed, hooks=True)

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
        """Before every change: note in the state that an update has begun, so that a killed one is recognised.

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
                self._told.on_begin()

    def delete_type(self, kind: str) -> None:
        """Delete every resource of one type; the next evaluation creates it again."""
        self._delete([(urn, item) for urn, item in self.state.resources.items() if item.type == kind])

    def delete_all(self) -> None:
        """Destroy everything; without hooks, which only a program that runs can register."""
        self._delete([*self.state.replaced, *self.state.resources.items()])
        self.state.outputs = {}
        self.state.write(self._state_file)

    def _apply(self, urn: str, kind: str, name: str, inputs: dict[str, Any], hooks: Any) -> ResourceState:
        provisioner = self._registry.provisioner(kind)
        old = self.state.resources.get(urn)
        desired = checked(provisioner, inputs)
        if old is None:
            self._begin()
            self._run_hooks(hooks.before_create, urn, kind, name, inputs=desired)
            state = self._create(urn, kind, name, provisioner, desired)
            self._run_hooks(hooks.after_create, urn, kind, name, state.identifier, inputs=desired)
            return state
        change = compare(provisioner, old.inputs, desired, attempted=old.attempted)
        if not change.keys:
            self._record(Step(operation="same", type=kind, name=name, urn=urn))
            return old
        self._begin()
        before = old.attempted or old.inputs
        summary = "; ".join(tell_change(key, before.get(key), desired.get(key)) for key in change.keys)
        if change.replacing:
            _refuse_protected([old])
            if change.delete_first:
                self._run_hooks(hooks.before_delete, urn, kind, name, old.identifier)
                provisioner.delete(old.identifier, old.inputs)
                with self._lock:
                    # At once: when the creation fails, the state must not claim what is gone.
                    del self.state.resources[urn]
                    self.state.write(self._state_file)
            self._run_hooks(hooks.before_create, urn, kind, name, old.identifier, inputs=desired)
            state = self._create(urn, kind, name, provisioner, desired, quiet=True)
            if not change.delete_first:
                with self._lock:
                    self.state.replaced.append((urn, old))
                    self.state.write(self._state_file)
            self._record(Step(operation="replace", type=kind, name=name, urn=urn, summary=summary))
            self._run_hooks(hooks.after_create, urn, kind, name, state.identifier, inputs=desired)
            return state
        self._run_hooks(hooks.before_update, urn, kind, name, old.identifier, inputs=desired)
        with self._lock:
            old.attempted = desired
            self.state.write(self._state_file)
        outputs = provisioner.update(old.identifier, old.inputs, desired)
        self._record(Step(operation="update", type=kind, name=name, urn=urn, summary=summary))
        self._run_hooks(hooks.after_update, urn, kind, name, old.identifier, inputs=desired)
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

    def _run_hooks(
        self,
        names: Iterable[str],
        urn: str,
        kind: str,
        name: str,
        identifier: str = "",
        *,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Call hooks one after the other; one that fails stops the operation after it. ``inputs`` are the new ones."""
        for hook in names:
            self._begin()
            started = time.monotonic()
            request = resource_pb2.ResourceHookRequest(urn=urn, type=kind, name=name, id=identifier)
            request.new_inputs.update(dict(inputs or {}))
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

    def _delete(self, doomed: Sequence[tuple[str, ResourceState]], *, hooks: bool = False) -> None:
        """Delete resources, each after those that depend on it, and independent ones at the same time.

        Raises:
            EngineError: for the first that failed or is protected; what depends on nothing that failed is deleted.
        """
        _refuse_protected([item for _, item in doomed])
        sorter = _dependents_first(doomed)
        running: dict[Future[None], int] = {}
        failures: list[BaseException] = []
        with ThreadPoolExecutor() as pool:
            try:
                while sorter.is_active():
                    for number in sorter.get_ready():
                        running[pool.submit(self._delete_one, *doomed[number], hooks=hooks)] = number
                    if not running:
                        # The others wait for one that failed.
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        number = running.pop(future)
                        if failure := future.exception():
                            failures.append(failure)
                        else:
                            sorter.done(number)
            except KeyboardInterrupt:
                self.interrupt()
                raise
        if failures:
            raise failures[0]

    def _delete_one(self, urn: str, resource: ResourceState, *, hooks: bool) -> None:
        if hooks:
            self._run_hooks(resource.before_delete, urn, resource.type, resource.name, resource.identifier)
        try:
            self._registry.provisioner(resource.type).delete(resource.identifier, resource.inputs)
        except Exception as error:
            raise EngineError(f"deleting {resource.type} {resource.name}: {error}") from error
        with self._lock:
            replaced = self.state.resources.get(urn) is not resource
            if replaced:
                self.state.replaced.remove((urn, resource))
            else:
                del self.state.resources[urn]
            self.state.write(self._state_file)
        if not replaced:
            self._record(Step(operation="delete", type=resource.type, name=resource.name, urn=urn))

    def _record(self, step: Step) -> None:
        with self._lock:
            self.steps.append(step)
        self._told.on_step(step)

    def _respond(self, urn: str, identifier: str, properties: Mapping[str, Any]) -> Any:
        encoded = _sync_await(rpc.serialize_properties(dict(properties), {}))
        self.resources[urn] = mocks.MockMonitor.ResourceRegistration(urn, identifier, dict(properties))
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identifier, object=encoded)


def _refuse_protected(doomed: Iterable[ResourceState]) -> None:
    """Before anything is deleted.

    Raises:
        EngineError: one of them is protected.
    """
    if kept := [f"{item.type} {item.name}" for item in doomed if item.protect]:
        raise EngineError(
            f"{', '.join(kept)}: protected, so nothing is deleted. Way out: an update that declares it without "
            "protection, then again"
        )


def _dependents_first(doomed: Sequence[tuple[str, ResourceState]]) -> graphlib.TopologicalSorter[int]:
    """The order of deletions, by position in ``doomed``."""
    # A resource that was made again is there twice, so its URN does not name one of them.
    positions: dict[str, list[int]] = {}
    for number, (urn, _) in enumerate(doomed):
        positions.setdefault(urn, []).append(number)
    sorter: graphlib.TopologicalSorter[int] = graphlib.TopologicalSorter(dict.fromkeys(range(len(doomed)), ()))
    for number, (_, item) in enumerate(doomed):
        for dependency in item.dependencies:
            for other in positions.get(dependency, ()):
                sorter.add(other, number)
    sorter.prepare()
    return sorter


class _Invokes(mocks.Mocks):
    """Answers data sources; resources never come here."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def call(self, args: mocks.MockCallArgs) -> Any:
        return self._registry.invoke(args.token, args.args)

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:
        raise EngineError(f"{args.typ} {args.name}: reading foreign resources is not provided on this machine")
