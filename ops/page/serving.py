"""How the page runs: in this process (``serve``), or as a child of the local stack's supervisor (``open_page``).

As a child it ends with the stack: the supervisor ends it by its id, and the kernel does when the supervisor dies.
"""

import http.client
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ops.errors import OperatorError
from ops.local.control import SupervisorClient
from ops.local.paths import SOURCE
from ops.local.ports import free_ports, refusal
from ops.local.runtime_interface import LOOPBACK
from ops.local.stack import LocalStack
from ops.stacks.local import local_target
from pipeline.files import replace_file

PORT_FILE = "page.json"
SERVICE = "page"
STOP_SECONDS = 5.0
START_SECONDS = 30.0
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def serve(state_directory: Path, port: int) -> None:
    """Serve the page of a stack until SIGTERM or Ctrl-C.

    Args:
        state_directory: the stack's.
        port: on 127.0.0.1.
    """
    import uvicorn  # noqa: PLC0415 - the other half of this module needs neither server nor Chroma

    from ops.page.application import Feed, build_application  # noqa: PLC0415
    from ops.stacks.local_view import LocalView  # noqa: PLC0415
    from ops.watching.gathering import Watcher  # noqa: PLC0415

    stack = LocalStack(state_directory)
    with Watcher(LocalView(stack)) as watcher:
        application = build_application(Feed(look=watcher.look), lambda: local_target(stack), port=port)
        configuration = uvicorn.Config(
            application,
            host=LOOPBACK,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            # Open event streams are not waited for.
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(configuration).run()


def open_page(stack: LocalStack, port: int | None = None) -> str:
    """Have the running stack serve its page; the one that it serves already, unless another port is asked for.

    Args:
        stack: must be up.
        port: None for the port of last time, and for a free one the first time.

    Returns:
        The page's address.

    Raises:
        OperatorError: STACK_NOT_RUNNING, PORT_TAKEN, PAGE_NOT_SERVED.
    """
    local_target(stack)
    file = stack.state_directory / PORT_FILE
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    supervisor = SupervisorClient(stack.state_directory, "")
    is_served = bool(supervisor.status()["services"].get(SERVICE))
    if is_served and kept and port in (None, kept["port"]) and _answers(kept["port"]):
        return address_of(kept["port"])
    chosen = _free_port(port or kept.get("port"), is_required=port is not None)
    supervisor.delete_service(SERVICE)
    replace_file(file, json.dumps({"port": chosen}))
    supervisor.put_service(_definition(stack.state_directory, chosen))
    deadline = time.monotonic() + START_SECONDS
    while not _answers(chosen):
        if time.monotonic() > deadline:
            raise OperatorError(
                "PAGE_NOT_SERVED",
                f"nothing answered on {address_of(chosen)} within {START_SECONDS:.0f} s",
                f"look into {stack.state_directory / 'logs' / SERVICE}.log",
            )
        time.sleep(0.1)
    return address_of(chosen)


def address_of(port: int) -> str:
    """The page's address."""
    return f"http://{LOOPBACK}:{port}/"


def _definition(state_directory: Path, port: int) -> dict[str, Any]:
    return {
        "name": SERVICE,
        "command": [sys.executable, "-m", "ops.page", str(state_directory), str(port)],
        # Definitions are kept in a file, so nothing of the shell's goes into one but what starts Python.
        "environment": {name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "desired_count": 1,
        "stop_timeout_seconds": STOP_SECONDS,
        "revision": str(SOURCE),
        # The next start of the stack serves a page only when it is asked for one.
        "is_kept": False,
    }


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/static/page.css")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _free_port(wanted: int | None, *, is_required: bool) -> int:
    """The port that was asked for, or another one when it is taken and not required."""
    if wanted is not None:
        reason = refusal(wanted)
        if reason is None:
            return wanted
        if is_required:
            raise OperatorError(
                "PORT_TAKEN", f"port {wanted} of {LOOPBACK} cannot be used: {reason}", "give another --port"
            )
    (port,) = free_ports(1)
    return port
