"""Writes down every call that a process makes to AWS, a JSON line each, into the directory that a variable names."""

import json
import os
from pathlib import Path
from typing import Any

DIRECTORY = "RECORD_CALLS_IN"
KEPT = ("Bucket", "Key", "Prefix", "TableName", "IndexName", "QueueUrl", "TransactItems", "RequestItems")


def record_calls(directory: Path, host: str) -> None:
    """Write down every call from now on, as made by ``host``."""
    from botocore import client

    # Not in botocore's declared types. Its events come by session, and these clients have a session each.
    base: Any = client.BaseClient
    call = base._make_api_call

    def recorded(self: client.BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        kept = {name: arguments[name] for name in KEPT if name in arguments}
        line = {"host": host, "service": self.meta.service_model.service_name, "operation": operation, **kept}
        with (directory / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")
        return call(self, operation, arguments)

    base._make_api_call = recorded


if DIRECTORY in os.environ:
    record_calls(Path(os.environ[DIRECTORY]), os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "worker"))
