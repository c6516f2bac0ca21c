"""What every provisioner needs: clients of the emulator, the supervisor, and places in the state directory."""

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ops.local.control import SupervisorClient
from ops.local.emulator import ACCOUNT, REGION
from pipeline.aws import AwsClient, connect

RUNTIME_FOLDERS = (
    "one_consumer/live",
    "pipeline",
    "upload_images",
    "embed_lambda",
    "compaction_worker",
    "compaction_handler",
)
"""What the container image holds; a change in them is a new revision of every function and task."""


@dataclass(frozen=True)
class Context:
    """One local stack.

    Attributes:
        endpoint: the emulator's address.
        supervisor: runs functions and workers.
        source: the repository; the image's folders lie in it.
        state_directory: this stack's place on disk.
    """

    endpoint: str
    supervisor: SupervisorClient
    source: Path
    state_directory: Path

    _clients: dict[str, AwsClient] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> AwsClient:
        """A boto3 client of the emulator; one a service, since making one takes longer than most of its calls."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = make_client(service, client_options(self.endpoint))
            return self._clients[service]

    def close(self) -> None:
        """Close the clients' connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    @cached_property
    def source_revision(self) -> str:
        """A digest of the runtime code, as an image's digest would be."""
        whole = hashlib.sha256()
        for folder in RUNTIME_FOLDERS:
            for path in sorted((self.source / folder).rglob("*.py")):
                if path.name != "component.py":
                    whole.update(f"{path.relative_to(self.source)}\n".encode())
                    whole.update(path.read_bytes())
        return whole.hexdigest()

    def process_environment(self) -> dict[str, str]:
        """The variables that AWS sets in every function and task."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", str(self.state_directory)),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "PYTHONUNBUFFERED": "1",
        }

    def file_system(self, access_point: str) -> Path:
        """The directory in place of an EFS access point, by its id or ARN."""
        directory = self.state_directory / "efs" / access_point.rsplit("/", 1)[-1]
        directory.mkdir(parents=True, exist_ok=True)
        return directory


def make_client(service: str, options: Mapping[str, Any]) -> AwsClient:
    """A boto3 client of a service that is known only at run time."""
    return connect(service, **options)


def client_options(endpoint: str) -> dict[str, Any]:
    """How boto3 reaches the emulator; its credentials are not checked."""
    return {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }


def arn(service: str, resource: str) -> str:
    """An ARN in the emulator's account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def rewrite_paths(variables: dict[str, str], places: dict[str, Path]) -> dict[str, str]:
    """Replace a container's absolute paths by directories of this machine.

    Args:
        variables: an environment.
        places: container path to local directory; the longest match wins.
    """

    def rewrite(value: str) -> str:
        for path in sorted(places, key=len, reverse=True):
            if value == path or value.startswith(path + "/"):
                return str(places[path]) + value.removeprefix(path)
        return value

    for directory in places.values():
        directory.mkdir(parents=True, exist_ok=True)
    return {name: rewrite(value) for name, value in variables.items()}
