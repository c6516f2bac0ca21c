"""One running stack for all tests of switching; and ways to wait and to look."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.importers import read_documents
from ops.local.stack import LocalStack
from ops.stacks.local import local_target

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


SHORT = {
    "lambda": {"timeoutSeconds": 12, "maximumConcurrency": 2},
    "handover": {"timeoutSeconds": 16, "pollSeconds": 0.2, "quietSeconds": 1},
}
"""Settings under which what hangs is given up soon."""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(tmp_path_factory.mktemp("stack")) as running:
        running.up({"embedConsumer": "lambda", **SHORT})
        yield running
        running.down(destroy=True)


@pytest.fixture
def intruder(stack: LocalStack) -> Iterator[Any]:
    """A second mapping of the embed queue, made by hand and enabled."""
    target = local_target(stack)
    client = target.client("lambda")
    arn = target.sqs.get_queue_attributes(QueueUrl=target.outputs["embedQueueUrl"], AttributeNames=["QueueArn"])
    identifier = client.create_event_source_mapping(
        EventSourceArn=arn["Attributes"]["QueueArn"],
        FunctionName=target.outputs["mergeFunctionName"],
        Enabled=False,
        BatchSize=1,
    )["UUID"]

    class Intruder:
        def enable(self, enabled: bool) -> None:
            client.update_event_source_mapping(UUID=identifier, Enabled=enabled)
            wanted = "Enabled" if enabled else "Disabled"
            eventually(lambda: client.get_event_source_mapping(UUID=identifier)["State"] == wanted)

    yield Intruder()
    client.delete_event_source_mapping(UUID=identifier)
    client.close()


def samples(*names: str) -> list[tuple[str, bytes]]:
    return [item for name in names for item in read_documents(SAMPLES / f"{name}.json")]


def eventually(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.1)
    return value
