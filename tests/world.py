"""The one world of the tests: a table, a bucket and queues as the stack makes them, on moto or on an emulator.

This is not a running stack: ``ops.local.stack.LocalStack`` is. A package that needs more extends `World`:
``compaction/world.py`` (merges), ``stages/embedding_world.py``, ``merchants/test_later.py``, ``stages/signals`` and
``compaction/torture/world.py``. The fixtures are in ``conftest.py``.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import boto3

from ops.local.emulator import Emulator
from ops.local.provisioners.context import client_options
from ops.local.runtime_interface import LOOPBACK
from pipeline.objects import ObjectStore
from pipeline.runs.repository import UNFINISHED_INDEX, RunRepository

TABLE, BUCKET, REGION = "receipts", "vectors", "us-east-1"


class Clients:
    """The boto3 clients of one endpoint, each made once: making one takes longer than most tests.

    Args:
        **options: of boto3.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._made: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        """The client of one service."""
        if service not in self._made:
            make: Any = boto3.client
            self._made[service] = make(service, **self._options)
        return self._made[service]

    def close(self) -> None:
        """Close those that were made."""
        while self._made:
            self._made.popitem()[1].close()


MOTO = Clients(region_name=REGION)
"""For tests with the fixture ``aws``. Every test of a process shares them: what a test changes, it changes back."""


@dataclass(kw_only=True)
class World:
    """A table and a bucket, and what the pipeline reads and writes them with.

    Attributes:
        clients: what reaches AWS, or what there is in its place.
        table: the name of the table of runs.
        bucket: the name of the bucket.
    """

    clients: Clients = MOTO
    table: str = TABLE
    bucket: str = BUCKET

    def create(self) -> Self:
        """Make the table and the bucket."""
        create_table(self.dynamodb, self.table)
        self.s3.create_bucket(Bucket=self.bucket)
        return self

    def close(self) -> None:
        """Close the clients of an emulator; those of moto serve the next test."""
        if self.clients is not MOTO:
            self.clients.close()

    @cached_property
    def s3(self) -> Any:
        return self.clients("s3")

    @cached_property
    def dynamodb(self) -> Any:
        return self.clients("dynamodb")

    @cached_property
    def sqs(self) -> Any:
        return self.clients("sqs")

    @cached_property
    def objects(self) -> ObjectStore:
        return ObjectStore(self.s3)

    @cached_property
    def runs(self) -> RunRepository:
        return RunRepository(self.table, self.dynamodb)


def create_table(dynamodb: Any, name: str) -> None:
    """Create the table of runs, with its index of unfinished runs."""
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": "S"}
            for attribute in ("PK", "SK", "unfinished_state", "created_at")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": UNFINISHED_INDEX,
                "KeySchema": [
                    {"AttributeName": "unfinished_state", "KeyType": "HASH"},
                    {"AttributeName": "created_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


def create_queue(sqs: Any, name: str, **attributes: str) -> str:
    """Create a queue, a FIFO queue if its name ends so.

    Returns:
        Its URL.
    """
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    return sqs.create_queue(QueueName=name, Attributes=fifo | attributes)["QueueUrl"]


def free_port() -> int:
    """A port of the loopback interface on which nothing listens."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return free.getsockname()[1]


@contextmanager
def running_emulator(directory: Path) -> Iterator[Emulator]:
    """An emulator with its state in this directory; it takes longer to start than most tests take."""
    emulator = Emulator(directory, free_port())
    emulator.start()
    try:
        yield emulator
    finally:
        emulator.stop()


def emulator_clients(endpoint: str) -> Clients:
    """The clients of a running emulator; close them."""
    return Clients(**client_options(endpoint))
