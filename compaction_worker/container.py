"""The container definition of the worker's task. Pure; the task around it is in ``component.py``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COLLECTIONS_DIRECTORY = "/mnt/collections"
PRIVATE_DIRECTORY = "/var/lib/receipts"
HEALTH_FILE = f"{PRIVATE_DIRECTORY}/alive"
HEALTH_CHECK = f"import os,sys,time; sys.exit(time.time() - os.path.getmtime({HEALTH_FILE!r}) > {{seconds}})"
"""The loop touches the file before every receive, unless a message is held for over a minute, so its age is that of the
work on one."""


@dataclass(frozen=True, kw_only=True)
class ContainerLimits:
    """What the settings decide of the container.

    Attributes:
        user: number of the user and of its group.
        stop_timeout_seconds: between SIGTERM and SIGKILL.
        job_seconds: the longest work, and the longest time without a sign of life.
        allow_exec: somebody may open a shell.
    """

    region: str
    user: int
    stop_timeout_seconds: int
    job_seconds: int
    allow_exec: bool


def container_definition(
    limits: ContainerLimits, *, image: str, variables: Mapping[str, str], log_group: str
) -> dict[str, Any]:
    """A container definition (Amazon ECS API reference, ContainerDefinition).

    Args:
        limits: what the settings decide.
        image: by digest.
        variables: of its environment.
        log_group: the name of its log group.
    """
    return {
        "name": "worker",
        "image": image,
        "essential": True,
        # The image's own entry point is Lambda's.
        "entryPoint": ["python", "-m", "compaction_worker"],
        "command": [],
        "user": f"{limits.user}:{limits.user}",
        # The agent of ECS Exec writes there (docs/facts.md, "Scaling a service to zero and switching it"), and needs
        # somebody to end what a shell leaves behind.
        "readonlyRootFilesystem": not limits.allow_exec,
        **({"linuxParameters": {"initProcessEnabled": True}} if limits.allow_exec else {}),
        "stopTimeout": limits.stop_timeout_seconds,
        "environment": [{"name": key, "value": value} for key, value in sorted(variables.items())],
        "mountPoints": [
            {"sourceVolume": "collections", "containerPath": COLLECTIONS_DIRECTORY, "readOnly": True},
            {"sourceVolume": "private", "containerPath": PRIVATE_DIRECTORY, "readOnly": False},
            {"sourceVolume": "temporary", "containerPath": "/tmp", "readOnly": False},  # noqa: S108 - a volume
        ],
        "healthCheck": {
            "command": ["CMD", "python", "-c", HEALTH_CHECK.format(seconds=limits.job_seconds)],
            "interval": 60,
            "timeout": 10,
            "retries": 3,
            "startPeriod": 120,
        },
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": log_group,
                "awslogs-region": limits.region,
                "awslogs-stream-prefix": "worker",
            },
        },
    }
