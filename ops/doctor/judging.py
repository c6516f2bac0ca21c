"""Turns what was seen of a machine, a stack and an account into findings. Pure: nothing is looked at here.

Longer than most modules: every finding with its way out is here, in the order in which the command prints them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from one_consumer.audit.judgement import MEANINGS as AUDIT_MEANINGS
from one_consumer.audit.judgement import Finding as AuditFinding
from ops.pulumi_errors import INSTALL, OLDEST_CLI

PYTHONS = ((3, 11), (3, 13))
"""Oldest and newest that the pinned dependencies are for (pyproject.toml)."""
GIBIBYTE = 2**30
DISK_BYTES = GIBIBYTE
"""Free where the stack on this machine keeps its state. Its own files are small; a merge writes a version beside the
published one, and a search keeps a copy of both."""
MEMORY_BYTES = GIBIBYTE
"""Available for the stack on this machine. Measured on Python 3.11 after one receipt: the emulator 90 MB, a function
that has worked 65 to 85 MB; there are four of them, a worker and the supervisor."""

Area = Literal["machine", "stack", "account"]


class Weight(StrEnum):
    """What a finding means for what a person wants to do."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    """Something is missing that not every command needs, or that will be missed later."""
    FAULT = "fault"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        code: stable; empty when all is well.
        message: what was seen.
        way_out: what to do; empty when there is nothing to do.
    """

    area: Area
    weight: Weight
    message: str
    code: str = ""
    way_out: str = ""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What was seen of this machine.

    Attributes:
        python: version of the interpreter.
        system: as Python names it: ``linux``, ``darwin``.
        pulumi: the version that the CLI gives; None when there is no CLI, empty when it gives none.
        docker: what is wrong with Docker and its buildx; None when nothing is.
        free_disk: bytes, where the stack's state is.
        free_memory: bytes; None where the system does not say.
        taken_ports: of those that the stack on this machine keeps and that another program listens on.
        loopback: why no port of 127.0.0.1 can be had; None when one can.
    """

    python: tuple[int, int]
    system: str
    pulumi: str | None
    docker: str | None
    free_disk: int
    free_memory: int | None
    taken_ports: Sequence[int] = ()
    loopback: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What was seen of a stack that answers.

    Attributes:
        name: its name.
        audit: queue to what is wrong with its consumers.
        paused: no consumer is meant to be on.
        unfinished: the consumer that an update chose which has not ended well.
        dead_letters: queue to how many, where there are any.
        failed_runs: runs that failed, by collection.
        lost: processes that should run and do not.
    """

    name: str
    audit: Mapping[str, AuditFinding] = field(default_factory=dict)
    paused: bool = False
    unfinished: str | None = None
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    failed_runs: Mapping[str, int] = field(default_factory=dict)
    lost: Sequence[str] = ()


def judge_machine(seen: Machine) -> list[Finding]:
    """What is wrong with this machine; what is well is a finding too."""
    oldest, newest = PYTHONS
    python = ".".join(map(str, seen.python))
    found = [
        _either(
            "machine",
            oldest <= seen.python <= newest,
            f"Python {python}",
            Finding(
                area="machine",
                weight=Weight.FAULT,
                code="PYTHON_UNSUPPORTED",
                message=f"Python {python}, and 3.{oldest[1]} to 3.{newest[1]} are supported",
                way_out="make PYTHON=python3.13 ... makes .venv with another one",
            ),
        ),
        _either(
            "machine",
            seen.system == "linux",
            "Linux",
            _warning(
                "SYSTEM_UNTRIED", f"the system is {seen.system}, and only Linux is tried", "use Linux, or a container"
            ),
        ),
        _pulumi(seen.pulumi),
        _either(
            "machine",
            seen.docker is None,
            "Docker and buildx",
            _warning(
                "DOCKER_MISSING",
                f"{seen.docker}; `pulumi up` of a stack on AWS builds its image with it",
                "install Docker with buildx and start it, or set receipts:imageUri; --stack local needs none",
            ),
        ),
        _either(
            "machine",
            seen.free_disk >= DISK_BYTES,
            f"{seen.free_disk / GIBIBYTE:.1f} GiB free on the disk",
            _warning(
                "DISK_LOW",
                f"{seen.free_disk / GIBIBYTE:.2f} GiB are free on the disk, and the stack on this machine may need "
                f"{DISK_BYTES // GIBIBYTE}",
                "make room, or `receipts local down --destroy`",
            ),
        ),
    ]
    if seen.free_memory is not None:
        found.append(
            _either(
                "machine",
                seen.free_memory >= MEMORY_BYTES,
                f"{seen.free_memory / GIBIBYTE:.1f} GiB of memory available",
                _warning(
                    "MEMORY_LOW",
                    f"{seen.free_memory / GIBIBYTE:.2f} GiB of memory are available, and the stack on this machine may "
                    f"need {MEMORY_BYTES // GIBIBYTE}",
                    "end other programs",
                ),
            )
        )
    return found + _ports(seen)


def _pulumi(version: str | None) -> Finding:
    if version is None:
        return _warning(
            "PULUMI_MISSING",
            "there is no Pulumi CLI on the PATH; stacks on AWS need it",
            f"install it ({INSTALL}); --stack local needs none",
        )
    numbers = version.removeprefix("v").split(".")[:2]
    if not all(number.isdecimal() for number in numbers) or len(numbers) < 2:  # noqa: PLR2004 - major and minor
        return _warning(
            "PULUMI_VERSION", "the Pulumi CLI on the PATH gives no version", f"install it again ({INSTALL})"
        )
    if (int(numbers[0]), int(numbers[1])) < (OLDEST_CLI.major, OLDEST_CLI.minor):
        return _warning(
            "PULUMI_VERSION",
            f"the Pulumi CLI is {version}, and at least {OLDEST_CLI} is needed",
            f"install a newer one ({INSTALL})",
        )
    return Finding(area="machine", weight=Weight.OK, message=f"Pulumi CLI {version}")


def _ports(seen: Machine) -> list[Finding]:
    if seen.loopback is not None:
        return [
            Finding(
                area="machine",
                weight=Weight.FAULT,
                code="LOOPBACK_REFUSED",
                message=f"no port of 127.0.0.1 can be had: {seen.loopback}",
                way_out="allow programs to listen on 127.0.0.1",
            )
        ]
    return [
        Finding(
            area="machine",
            weight=Weight.FAULT,
            code="PORT_TAKEN",
            message=f"another program listens on port {port}, which the stack on this machine keeps as its own",
            way_out=f"`ss -ltnp 'sport = :{port}'` shows which one; end it, or `receipts local down --destroy`",
        )
        for port in seen.taken_ports
    ] or [Finding(area="machine", weight=Weight.OK, message="ports of 127.0.0.1")]


def judge_stack(seen: Stack) -> list[Finding]:
    """What is wrong with a stack that answers."""
    option = "" if seen.name == "local" else f" --stack {seen.name}"
    found = [
        _fault("PROCESS_LOST", f"{name} should run and does not", "receipts local down, then receipts local up")
        for name in seen.lost
    ]
    if seen.unfinished is not None:
        found.append(
            _fault(
                "UPDATE_UNFINISHED",
                f"an update to embedConsumer {seen.unfinished!r} has begun and not ended well",
                f"wait while somebody makes it; otherwise receipts switch {seen.unfinished}{option} goes on",
            )
        )
    found += [
        _fault(finding.value, f"queue {queue}: {AUDIT_MEANINGS[finding].rstrip('.')}", f"receipts audit{option}")
        for queue, finding in seen.audit.items()
    ]
    if seen.paused:
        found.append(
            Finding(
                area="stack",
                weight=Weight.WARNING,
                code="PAUSED",
                message="no consumer is meant to be on; receipts wait on the embed queue",
                way_out=f"receipts switch lambda{option}, or ecs",
            )
        )
    found += [
        Finding(
            area="stack",
            weight=Weight.FAULT,
            code="DEAD_LETTERS",
            message=f"{count} dead letters: {queue}",
            way_out=f"receipts dead-letters list{option}",
        )
        for queue, count in seen.dead_letters.items()
    ]
    found += [
        _fault("RUNS_FAILED", f"{count} runs failed in {collection}", f"receipts reconcile{option}; --repair")
        for collection, count in seen.failed_runs.items()
    ]
    return found or [
        Finding(area="stack", weight=Weight.OK, message=f"stack {seen.name}: consumers, dead letters, runs")
    ]


def not_up(name: str) -> Finding:
    """The stack on this machine does not run, which is no fault."""
    return Finding(
        area="stack",
        weight=Weight.NOTE,
        code="STACK_NOT_RUNNING",
        message=f"stack {name} is not up",
        way_out="receipts local up",
    )


def judge_account(stack: str, caller: str | None, region: str | None, error: str | None) -> list[Finding]:
    """What is wrong with the account.

    Args:
        stack: the stack that was asked for.
        caller: who AWS says that this shell is; None when AWS does not answer.
        region: the stack's, from its settings; None when they have none.
        error: why AWS does not answer.
    """
    identity = (
        Finding(area="account", weight=Weight.OK, message=f"this shell is {caller}")
        if caller
        else Finding(
            area="account",
            weight=Weight.FAULT,
            code="AWS_CREDENTIALS",
            message=f"AWS does not say who this shell is: {error}",
            way_out="sign in, or set AWS_PROFILE or the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    )
    place = (
        Finding(area="account", weight=Weight.OK, message=f"region {region}")
        if region
        else Finding(
            area="account",
            weight=Weight.FAULT,
            code="REGION_UNSET",
            message=f"Pulumi.{stack}.yaml sets no aws:region",
            way_out=f"pulumi config set aws:region eu-central-1 --stack {stack}",
        )
    )
    return [identity, place]


def _either(area: Area, well: bool, message: str, otherwise: Finding) -> Finding:
    return Finding(area=area, weight=Weight.OK, message=message) if well else otherwise


def _warning(code: str, message: str, way_out: str) -> Finding:
    return Finding(area="machine", weight=Weight.WARNING, code=code, message=message, way_out=way_out)


def _fault(code: str, message: str, way_out: str) -> Finding:
    return Finding(area="stack", weight=Weight.FAULT, code=code, message=message, way_out=way_out)
