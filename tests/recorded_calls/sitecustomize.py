"""Writes down every call that a process makes to AWS, a JSON line each, into the directory that a variable names."""

import json
import os
from pathlib import Path
from typing import Any

DIRECTORY = "RECORD_CALLS_IN"
KEPT = ("Bucket", "Key", "Prefix", "TableName", "IndexName", "QueueUrl", "TransactItems", "RequestItems")


def _record_calls(directory: Path) -> None:
    from botocore.client import BaseClient

    call = BaseClient._make_api_call
    host = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "worker")

    def recorded(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        kept = {name: arguments[name] for name in KEPT if name in arguments}
        line = {"host": host, "service": self.meta.service_model.service_name, "operation": operation, **kept}
        with (directory / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")
        return call(self, operation, arguments)

    BaseClient._make_api_call = recorded


if DIRECTORY in os.environ:
    _record_calls(Path(os.environ[DIRECTORY]))
