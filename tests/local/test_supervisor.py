"""Who may tell the supervisor what to run. It starts any command that it is told, as the user who started it."""

import http.client
import json
import os
import stat
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from ops.local.control import CONTROL_SOCKET, KEY_FILE, ControlError, SupervisorClient, invocation_path, make_private
from ops.local.runtime_interface import InvocationResult
from ops.local.supervisor import DEFINITIONS_FILE, PORTS_FILE, Supervisor, serve_control, serve_events
from tests.world import free_port

FUNCTION = {"name": "f", "command": ["true"], "environment": {}, "timeout_seconds": 1, "revision": "1"}


@pytest.fixture(params=["short", "long" * 40])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


@pytest.fixture
def supervisor(directory: Path) -> Iterator[Supervisor]:
    make_private(directory)
    (directory / PORTS_FILE).write_text(json.dumps({"supervisor": free_port(), "emulator": free_port()}))
    made = Supervisor(directory)
    servers = (serve_events(made, directory), serve_control(made, directory))
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in servers]
    for thread in threads:
        thread.start()
    yield made
    for server in servers:
        server.shutdown()
        server.server_close()
    for thread in threads:
        thread.join()


@pytest.fixture
def client(supervisor: Supervisor, directory: Path) -> SupervisorClient:
    return SupervisorClient(directory, f"http://127.0.0.1:{supervisor.port}")


def ask(supervisor: Supervisor, method: str, path: str, host: str | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", supervisor.port, timeout=5)
    connection.request(method, path, body=json.dumps(FUNCTION), headers={} if host is None else {"Host": host})
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_owner_commands_over_a_socket_in_the_state_directory(supervisor, client):
    assert client.answers()
    assert client.status()["functions"] == {}
    with pytest.raises(ControlError, match="no such route"):
        client._call("GET", "/nothing")
    client.shut_down()
    assert supervisor.ended.is_set()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/functions/f"),
        ("DELETE", "/functions/f"),
        ("PUT", "/services/f"),
        ("DELETE", "/services/f"),
        ("GET", "/status"),
        ("POST", "/shutdown"),
    ],
)
def test_no_command_is_taken_from_loopback_where_every_user_can_reach(supervisor, method, path):
    assert ask(supervisor, method, path) == HTTPStatus.FORBIDDEN
    assert not supervisor.ended.is_set()
    assert supervisor.status()["functions"] == {}


def test_an_event_needs_the_key_of_its_function_and_the_address_of_this_machine(supervisor, directory):
    path = invocation_path(directory, "f")
    # There is no such function; that it is looked for shows that the event was taken.
    assert ask(supervisor, "POST", path) == HTTPStatus.NOT_FOUND
    assert ask(supervisor, "POST", path, "receipts.example") == HTTPStatus.FORBIDDEN
    assert ask(supervisor, "POST", "/functions/f/invocations") == HTTPStatus.FORBIDDEN
    assert ask(supervisor, "POST", path[:-1]) == HTTPStatus.FORBIDDEN
    assert ask(supervisor, "POST", path.replace("/f/", "/g/")) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (b'{"errorMessage": "LEASE_HELD: lines", "errorType": "E", "stackTrace": ["..."]}', b"LEASE_HELD: lines"),
        (b'{"errorType": "E"}', b'{"errorType": "E"}'),
        (b"[1]", b"[1]"),
        (b"no JSON", b"no JSON"),
    ],
)
def test_the_emulator_is_given_what_an_error_says_and_not_its_stack_trace(supervisor, monkeypatch, error, told):
    failing = SimpleNamespace(invoke=lambda _: InvocationResult(succeeded=False, body=error))
    monkeypatch.setitem(supervisor._functions, "f", failing)
    assert supervisor.invoke("f", b"{}") == (HTTPStatus.INTERNAL_SERVER_ERROR, told)


def test_only_the_owner_can_enter_the_state_directory(supervisor, directory):
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(directory) == 0o700
    assert mode(directory / KEY_FILE) == 0o600
    assert mode(directory / CONTROL_SOCKET) == 0o600
    before = invocation_path(directory, "f")
    directory.chmod(0o755)
    make_private(directory)
    assert mode(directory) == 0o700
    assert invocation_path(directory, "f") == before


def test_a_command_that_ends_while_the_key_is_made_leaves_none_and_the_next_one_makes_it(directory, monkeypatch):
    def interrupted(_: int) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "urandom", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_private(directory)
    assert not (directory / KEY_FILE).exists()
    make_private(directory)
    assert len((directory / KEY_FILE).read_bytes()) == 32


def test_the_address_that_the_emulator_is_given_is_one_that_is_taken(supervisor, client, directory):
    address = urlsplit(client.put_function(FUNCTION))
    try:
        assert address.port == supervisor.port
        assert address.path == invocation_path(directory, "f")
    finally:
        client.delete_function("f")


def test_a_service_that_is_not_kept_runs_now_and_not_after_the_next_start(supervisor, client, directory):
    service = {"command": ["sleep", "60"], "environment": {"PATH": os.environ["PATH"]}, "desired_count": 1}
    service |= {"stop_timeout_seconds": 5, "revision": "1"}
    try:
        client.put_service({**service, "name": "kept"})
        client.put_service({**service, "name": "page", "is_kept": False})
        assert [len(client.status()["services"][name]) for name in ("kept", "page")] == [1, 1]
        kept = json.loads((directory / DEFINITIONS_FILE).read_text())["services"]
        assert [item["name"] for item in kept] == ["kept"]
    finally:
        client.delete_service("kept")
        client.delete_service("page")


def test_nobody_there_is_told_with_the_directory(tmp_path):
    with pytest.raises(ControlError, match=str(tmp_path)):
        SupervisorClient(tmp_path, "http://127.0.0.1:1").status()
