"""A refusal reaches the user of Pulumi's CLI as its own sentence: the SDK's language server runs the program here.

Above a traceback of forty lines nobody finds the one that says what to do.
"""

import asyncio
import runpy
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pulumi
import pytest
from google.protobuf import empty_pb2
from pulumi.automation._server import LanguageServer
from pulumi.runtime import mocks
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, language_pb2, resource_pb2_grpc
from pulumi.runtime.sync_await import _ensure_event_loop

from stack.errors import RefusalCode, StackRefusal
from tests.program.engine import PROJECT


class _Nothing(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict]:
        return None, dict(args.inputs)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict, None]:
        return {}, None


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Pulumi's own mock of the monitor, served as the engine serves its monitor."""

    def __init__(self) -> None:
        self._mock = mocks.MockMonitor(_Nothing())
        self.loops: set[asyncio.AbstractEventLoop] = set()
        for name in ("RegisterResource", "RegisterResourceOutputs", "SupportsFeature", "GetDeploymentInfo"):
            setattr(self, name, self._answering(getattr(self._mock, name)))

    def _answering(self, answer: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def respond(request: Any, context: Any) -> Any:
            # The mock needs a loop on each of the server's threads; who makes one closes it.
            self.loops.add(_ensure_event_loop())
            return answer(request)

        return respond

    def SignalAndWaitForShutdown(self, request, context):  # noqa: N802 - the protocol's name
        return empty_pb2.Empty()


class Engine(engine_pb2_grpc.EngineServicer):
    """What the engine is told, which it shows to the user."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.root = ""

    def Log(self, request, context):  # noqa: N802 - the protocol's name
        if request.severity == engine_pb2.ERROR:
            self.told.append(request.message)
        return empty_pb2.Empty()

    def SetRootResource(self, request, context):  # noqa: N802 - the protocol's name
        self.root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def GetRootResource(self, request, context):  # noqa: N802 - the protocol's name
        return engine_pb2.GetRootResourceResponse(urn=self.root)


Run = Callable[..., list[str]]


@pytest.fixture
def run() -> Iterator[Run]:
    engine, monitor = Engine(), Monitor()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()

    def evaluate(program: Callable[[], None], **settings: str) -> list[str]:
        config = {f"receipts:{key}": value for key, value in settings.items()}
        request = language_pb2.RunRequest(
            project="receipts", stack="dev", config=config, dryRun=True, monitor_address=address, args=[address]
        )
        LanguageServer(program).Run(request, SimpleNamespace())
        return engine.told

    yield evaluate
    server.stop(None).wait()
    for loop in monitor.loops:
        loop.close()


def test_refused_settings_are_told_in_sentences_alone(run):
    (told,) = run(lambda: runpy.run_path(str(Path(PROJECT / "__main__.py"))), embedConsumer="fargate", lamda="{}")
    lines = told.splitlines()
    assert [line.split(":")[0] for line in lines] == ["CHOICE_UNKNOWN", "SETTING_UNKNOWN"]
    assert all(". Way out: " in line for line in lines)


def refuse(*_: object) -> None:
    raise StackRefusal(RefusalCode.NAME_TOO_LONG, value="a name", rule="64 characters", way_out="shorten it")


def refuse_in_apply() -> None:
    # After the stack itself is registered: on Python 3.13 the SDK stumbles over what it cancels while that goes on.
    pulumi.ComponentResource("a:b:C", "one").urn.apply(refuse)


@pytest.mark.parametrize("program", [refuse, refuse_in_apply])
def test_a_component_that_refuses_is_told_in_its_sentence_alone(program, run):
    assert run(program) == ["NAME_TOO_LONG: a name. Rule: 64 characters. Way out: shorten it."]


def test_a_bug_in_the_program_still_says_where_it_is(run):
    (told,) = run(lambda: 1 // 0)
    assert "ZeroDivisionError" in told
    assert str(Path(__file__).name) in told
