"""The emulator keeps what it was given, is reachable from this machine only, and leaves nothing running."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from ops.local.emulator import ACCOUNT, REGION, Emulator
from ops.local.provisioners.context import client_options
from tests.world import running_emulator

LISTENING = "0A"


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """One a test, because these tests stop it."""
    with running_emulator(tmp_path) as running:
        yield running


def group_members(process_id: int) -> list[str]:
    """Processes of the session that ``process_id`` leads."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[3] == str(process_id):
            found.append(path.parent.name)
    return found


def listening_addresses(process_id: int) -> set[str]:
    """Local addresses (hexadecimal, as the kernel shows them) of the process's listening sockets."""
    sockets = {os.readlink(path) for path in Path(f"/proc/{process_id}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/{process_id}/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].split(":")[0])
    return found


def test_messages_and_objects_survive_a_stop_and_a_start(emulator):
    options = client_options(emulator.endpoint)
    sqs, s3 = boto3.client("sqs", **options), boto3.client("s3", **options)
    url = sqs.create_queue(QueueName="waiting")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="still here")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="receipt", Body=b"total 12.50")
    emulator.stop()
    emulator.start()
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == "still here"
    body = s3.get_object(Bucket="kept", Key="receipt")["Body"]
    assert body.read() == b"total 12.50"
    body.close()
    sqs.close()
    s3.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel's tables are read")
def test_places_in_streams_do_not_survive_a_stop_because_their_records_do_not(emulator, tmp_path):
    functions = boto3.client("lambda", **client_options(emulator.endpoint))
    functions.list_functions()  # The emulator loads a service, and saves its state, once it is asked.
    emulator.stop()
    (saved,) = tmp_path.rglob("state/lambda.json")
    state = json.loads(saved.read_text())
    state["payload"]["dynamodb_stream_positions"]["data"] = {f"{ACCOUNT}\0{REGION}\0'mapping'": 990}
    saved.write_text(json.dumps(state))
    emulator.start()
    functions.list_functions()
    emulator.stop()
    assert json.loads(saved.read_text())["payload"]["dynamodb_stream_positions"]["data"] == {}


def test_nobody_else_can_reach_it_and_after_a_stop_nothing_is_left(emulator):
    process_id = emulator.process_id
    assert listening_addresses(process_id) == {"0100007F"}
    assert group_members(process_id)
    emulator.stop()
    assert emulator.process_id is None
    assert group_members(process_id) == []
