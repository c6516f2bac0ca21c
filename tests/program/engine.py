"""A recording engine: runs a program fresh, in-process, and records what it asks for. It checks no AWS rule."""

import asyncio
import contextvars
import runpy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import struct_pb2
from pulumi.runtime import mocks, rpc
from pulumi.runtime.settings import SETTINGS, configure
from pulumi.runtime.stack import run_in_stack
from pulumi.runtime.sync_await import _ensure_event_loop

PROJECT = Path(__file__).resolve().parents[2]
COMPUTED = {"*": ("arn", "url", "id"), "aws:sqs/queue:Queue": ("policy", "redrivePolicy")}
"""What the provider fills in by itself, so that it is unknown before a resource is made."""
ACCOUNT = "000000000000"
DIGEST_IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/receipts@sha256:" + "a" * 64


@dataclass(frozen=True, kw_only=True)
class Made:
    """One resource as it was asked for.

    Attributes:
        properties: as a policy is shown them: outputs, or at preview inputs and unknown outputs.
    """

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    depends_on: frozenset[str]
    properties: struct_pb2.Struct
    property_dependencies: dict[str, frozenset[str]]
    ignored: frozenset[str]
    hooks: dict[str, tuple[str, ...]]
    timeouts: dict[str, str]


@dataclass
class Recording:
    """All of one evaluation."""

    made: dict[str, Made] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    hooks: set[str] = field(default_factory=set)

    def of(self, kind: str) -> list[Made]:
        return [made for made in self.made.values() if made.type == kind]

    def one(self, kind: str, name: str) -> Made:
        return next(made for made in self.of(kind) if made.name == name)

    def reaches(self, start: str, goal: str) -> bool:
        """Does ``start`` come after ``goal``, directly or through others?"""
        seen, waiting = set(), [start]
        while waiting:
            current = waiting.pop()
            if current == goal:
                return True
            if current not in seen:
                seen.add(current)
                waiting += self.made[current].depends_on if current in self.made else ()
        return False


class _Mocks(mocks.Mocks):
    def __init__(self, *, preview: bool) -> None:
        self.preview = preview

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict]:
        outputs = dict(args.inputs)
        if self.preview:
            return None, outputs
        physical = args.inputs.get("name") or args.inputs.get("bucketPrefix") or args.name
        outputs.setdefault("name", physical)
        outputs.setdefault("bucket", physical)
        outputs["arn"] = f"arn:aws:{args.typ.split(':')[1].split('/')[0]}:us-east-1:000000000000:{physical}"
        if args.typ == "aws:ecs/cluster:Cluster":
            outputs["arn"] = f"arn:aws:ecs:us-east-1:000000000000:cluster/{physical}"
        outputs["url"] = f"https://sqs.us-east-1.amazonaws.com/000000000000/{physical}"
        outputs["streamArn"] = outputs["arn"] + "/stream/1"
        outputs["prefixListId"] = "pl-1"
        outputs["repositoryUrl"] = f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{physical}"
        outputs["registryId"] = "000000000000"
        outputs["digest"] = "sha256:" + "b" * 64
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict, list[tuple[str, str]] | None]:
        return {
            **args.args,
            "id": "1",
            "accountId": ACCOUNT,
            "userName": "AWS",
            "password": "p",
            "authorizationToken": "t",
        }, []


class _Monitor(mocks.MockMonitor):
    def __init__(self, recording: Recording, *, preview: bool) -> None:
        super().__init__(_Mocks(preview=preview))
        self.recording, self.preview = recording, preview
        self.loops: set[asyncio.AbstractEventLoop] = set()

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the interface's name
        self.loops.add(_ensure_event_loop())
        return super().Invoke(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the interface's name
        if "pulumi:pulumi:Stack" in request.urn:
            self.recording.outputs = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the interface's name
        # It runs in a thread of the main loop's executor, and needs a loop there; who makes one closes it.
        self.loops.add(_ensure_event_loop())
        answer = super().RegisterResource(request)
        if request.type == "pulumi:pulumi:Stack":
            return answer
        if answer.urn in self.recording.made:
            raise AssertionError(f"URN asked for twice: {answer.urn}")
        self.recording.made[answer.urn] = Made(
            urn=answer.urn,
            type=request.type,
            name=request.name,
            inputs=rpc.deserialize_properties(request.object),
            parent=request.parent,
            depends_on=frozenset(request.dependencies),
            properties=self._shown(request, answer),
            property_dependencies={
                key: frozenset(value.urns) for key, value in request.propertyDependencies.items() if value.urns
            },
            ignored=frozenset(request.ignoreChanges),
            timeouts={moment.name: value for moment, value in request.customTimeouts.ListFields()},
            hooks={
                moment.name: tuple(names) for moment, names in request.hooks.ListFields() if isinstance(names[0], str)
            },
        )
        return answer

    def RegisterResourceHook(self, request: Any) -> Any:  # noqa: N802 - the interface's name
        self.recording.hooks.add(request.name)
        return super().RegisterResourceHook(request)

    def _shown(self, request: Any, answer: Any) -> struct_pb2.Struct:
        shown = struct_pb2.Struct()
        shown.CopyFrom(request.object if self.preview else answer.object)
        if self.preview and request.custom:
            for key in COMPUTED["*"] + COMPUTED.get(request.type, ()):
                if key not in shown:
                    shown[key] = rpc.UNKNOWN
        elif request.custom:
            shown["id"] = answer.id
        return shown


Program = Path | Callable[[], object]


def run_program(
    settings: Mapping[str, str],
    *,
    stack: str = "test",
    program: Program = PROJECT / "__main__.py",
    preview: bool = False,
) -> Recording:
    """Evaluate a program, by its path or as a function, once; as a preview, nothing that AWS makes up is known.

    Settings without a namespace are ``receipts:``; ``aws:region`` is us-east-1 unless given.
    """
    recording = Recording()
    contextvars.copy_context().run(_run, recording, settings, stack, program, preview)
    return recording


def _run(recording: Recording, settings: Mapping[str, str], stack: str, source: Program, preview: bool) -> None:
    named = {key if ":" in key else f"receipts:{key}": value for key, value in settings.items()}
    pulumi.runtime.set_all_config({"aws:region": "us-east-1", **named})
    monitor = _Monitor(recording, preview=preview)
    configure(
        mocks.MockSettings(
            monitor=monitor,
            monitor_features=set(monitor.GetDeploymentInfo(None).supportedFeatures),
            engine=mocks.MockEngine(None),
            project="receipts",
            stack=stack,
            dry_run=preview,
            organization=None,
            callbacks=None,
        )
    )

    def program() -> Awaitable[None]:
        if isinstance(source, Path):
            runpy.run_path(str(source))
        else:
            source()
        # So that registrations have begun when Pulumi waits for them; ops/local/engines/in_process.py says why.
        return asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(run_in_stack(program))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        open_still: Any = SETTINGS  # Pulumi declares its properties as methods.
        open_still.outputs.clear()
        asyncio.set_event_loop(None)
        for used in monitor.loops | {loop}:
            used.close()
