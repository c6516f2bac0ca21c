"""Gathers what ``judging`` judges: of this machine, of a stack, of the account. It changes nothing."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from ops import LOCAL_STACK_NAME
from ops.auditing import DEAD_LETTERS, audit
from ops.doctor.judging import Finding, Machine, Stack, Weight, judge_account, judge_machine, judge_stack, not_up
from ops.errors import OperatorError
from ops.failures import described
from ops.operations import repository
from ops.reporting import states_of
from ops.target import PROJECT_DIRECTORY, Target
from pipeline.aws import AwsClient, connect

LOOPBACK = "127.0.0.1"
ASKED_SECONDS = 10.0
"""For a program that only says its version; a Docker daemon that hangs must not hang this command."""
MEMORY_FILE = Path("/proc/meminfo")


class StackHere(Protocol):
    """What is looked at of the stack on this machine, whichever stack was asked for: its directory and its ports.

    ``ops.local.stack.LocalStack`` is one.
    """

    @property
    def state_directory(self) -> Path:
        """Where its files are, or would be."""
        ...

    def is_running(self) -> bool:
        """Whether its supervisor answers."""
        ...

    def taken_ports(self) -> Sequence[int]:
        """Of the ports that it keeps, those that another program listens on."""
        ...

    def lost_processes(self) -> Sequence[str]:
        """Of the processes that it needs, those that have ended."""
        ...


def examine(
    stack_name: str,
    local: StackHere,
    reach: Callable[[str], Target],
    client: Callable[[str], AwsClient] = connect,
) -> list[Finding]:
    """Look at all of it.

    Args:
        stack_name: the stack; for any but the one on this machine the account is looked at as well.
        local: the stack on this machine, whose ports and directory are looked at.
        reach: finds a stack by its name, as ``ops.stacks.by_name.connect``.
        client: makes a client of AWS with the shell's credentials.
    """
    found = judge_machine(look_at_machine(local))
    if stack_name == LOCAL_STACK_NAME:
        return [*found, *(_stack(stack_name, local, reach) if local.is_running() else [not_up(stack_name)])]
    return [*found, *_account(stack_name, client), *_stack(stack_name, None, reach)]


def look_at_machine(local: StackHere) -> Machine:
    """This machine."""
    place = next(path for path in (local.state_directory, *local.state_directory.parents) if path.exists())
    return Machine(
        python=sys.version_info[:2],
        system=sys.platform,
        pulumi=said_by(("pulumi", "version")),
        docker=_docker(),
        free_disk=shutil.disk_usage(place).free,
        free_memory=_free_memory(),
        taken_ports=() if local.is_running() else local.taken_ports(),
        loopback=_loopback(),
    )


def _stack(name: str, local: StackHere | None, reach: Callable[[str], Target]) -> list[Finding]:
    try:
        lost = local.lost_processes() if local else ()
        if lost:
            # Nothing of it answers then.
            return judge_stack(Stack(name=name, lost=lost))
        return judge_stack(look_at_stack(name, reach(name)))
    except OperatorError as error:
        weight = Weight.NOTE if error.code == "STACK_UNKNOWN" else Weight.FAULT
        return [Finding(area="stack", weight=weight, code=error.code, message=error.message, way_out=error.way_out)]
    except (ClientError, BotoCoreError) as error:
        told = described(error)
        return [Finding(area="stack", weight=Weight.FAULT, code=told.code, message=told.message, way_out=told.way_out)]


def look_at_stack(name: str, target: Target) -> Stack:
    """A stack that answers."""
    audited = audit(target)
    states = [state for run in repository(target).all_runs() for state in states_of(run)]
    failed = [state.removesuffix(" FAILED") for state in states if state.endswith(" FAILED")]
    return Stack(
        name=name,
        audit={item.expected.label: item.finding for item in audited if item.finding},
        paused=target.outputs["embedConsumer"] == "none",
        unfinished=target.unfinished,
        dead_letters={
            item.expected.label: item.visible + item.in_flight
            for item in audited
            if item.expected.label in DEAD_LETTERS and item.visible + item.in_flight
        },
        failed_runs={collection: failed.count(collection) for collection in dict.fromkeys(failed)},
    )


def _account(stack_name: str, client: Callable[[str], AwsClient]) -> list[Finding]:
    name = stack_name.rsplit("/", 1)[-1]
    region, caller, failure = _region(PROJECT_DIRECTORY / f"Pulumi.{name}.yaml"), None, None
    try:
        sts = client("sts") if region is None else client("sts", region_name=region)  # type: ignore[call-arg]
        try:
            caller = sts.get_caller_identity()["Arn"]
        finally:
            sts.close()
    except (ClientError, BotoCoreError) as error:
        failure = str(error)
    return judge_account(name, caller, region, failure)


def _region(settings_file: Path) -> str | None:
    import yaml  # noqa: PLC0415 - only for a stack in an account

    with suppress(OSError, yaml.YAMLError, AttributeError):
        config = (yaml.safe_load(settings_file.read_text()) or {}).get("config") or {}
        return str(config["aws:region"]) if config.get("aws:region") else None
    return None


def _docker() -> str | None:
    """What is wrong with Docker; None when nothing is."""
    if shutil.which("docker") is None:
        return "there is no Docker on the PATH"
    if not said_by(("docker", "info", "--format", "{{.ServerVersion}}")):
        return "Docker does not run, or this user may not use it"
    return None if said_by(("docker", "buildx", "version")) else "Docker has no buildx"


def said_by(command: Sequence[str]) -> str | None:
    """The first line that a program writes; None when there is no such program, empty when it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - its own words, and no shell
            command, capture_output=True, text=True, timeout=ASKED_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        return None
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def _free_memory() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in MEMORY_FILE.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _loopback() -> str | None:
    try:
        with socket.socket() as tried:
            tried.bind((LOOPBACK, 0))
    except OSError as error:
        return str(error.strerror or error)
    return None
