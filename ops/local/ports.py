"""Ports of 127.0.0.1: which are free for the stack on this machine, and which another program has taken."""

import socket
from collections.abc import Iterable
from contextlib import ExitStack

from ops.local.runtime_interface import LOOPBACK


def free_ports(count: int) -> list[int]:
    """Ports that are free, all different."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind((LOOPBACK, 0))
        return [item.getsockname()[1] for item in sockets]


def taken(ports: Iterable[int]) -> tuple[int, ...]:
    """Those of the ports that cannot be listened on."""
    return tuple(port for port in ports if refusal(port) is not None)


def refusal(port: int) -> str | None:
    """Why a port cannot be listened on; None when it can."""
    with socket.socket() as probe:
        # As the servers do it: a connection that has ended takes no port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return error.strerror or str(error)
    return None
