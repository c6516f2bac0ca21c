"""Full disks, thieves, twins, damaged deltas, lost directories: after each the collection is whole."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from compaction_handler.environment import StreamProcessorEnvironment
from compaction_handler.open_requests import OpenRequests
from compaction_handler.stream_processor import process_records
from pipeline.collections.layout import ROWS_NAME, current_path, version_path
from pipeline.collections.versions import read_current
from pipeline.contracts.run import RunState
from pipeline.errors import ErrorCode
from tests.compaction.torture.world import TorturedWorld, Victims
from tests.stages.recording_queue import RecordingQueues

REFUSED = [{"batchItemFailures": [{"itemIdentifier": "m"}]}]
ACCEPTED = [{"batchItemFailures": []}]
FULL_BYTES = 3_500_000


def tool(name: str) -> str:
    return shutil.which(name) or name


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes; only root may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = [tool("mount"), "-t", "tmpfs", "-o", f"size={FULL_BYTES}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here: that needs root and CAP_SYS_ADMIN")
    yield place
    subprocess.run([tool("umount"), "--lazy", str(place)], check=True)


@pytest.mark.long
@pytest.mark.parametrize("directory", ["collections_directory", "working_directory"])
def test_a_full_disk_publishes_nothing_and_the_merge_succeeds_when_there_is_room_again(
    world: TorturedWorld, small_disk: Path, directory: str
):
    world.handle([world.record("upsert", 1, 20)])
    roomy = world.environment[directory]
    if Path(roomy).exists():
        shutil.copytree(roomy, small_disk / "d", dirs_exist_ok=True)
    world.settings[directory] = str(small_disk / "d")
    refused = 0
    for receipt in range(10, 30):
        answer = world.handle([*world.unfinished(), world.record("upsert", receipt, 300)])
        world.let_the_lease_expire()
        refused += answer.get("answer") == REFUSED
        assert answer["status"] == 0
        assert all(run.lines.attempts == 0 for run in world.runs.find_all(run.reference for run in world.recorded))
        if refused == 2:
            break
    assert refused
    if directory == "collections_directory":
        world.require_sound()
    subprocess.run([tool("mount"), "-o", "remount,size=200m", str(small_disk)], check=True)
    # A reader works where merges work, so what is published is looked at when there is room.
    world.require_sound()
    world.recover()


def test_a_lease_that_is_stolen_in_the_middle_of_a_merge_stops_it_before_anything_is_published(world: TorturedWorld):
    world.handle([world.record("upsert", 1)])
    before = read_current(world.directory / "collections", "lines")
    answer = world.handle([world.record("upsert", 2)], meddle="the lease is stolen")
    assert answer["answer"] == REFUSED
    assert "LEASE_LOST" in (world.directory / "log").read_text()
    assert read_current(world.directory / "collections", "lines") == before
    world.require_sound()
    world.recover()


def test_two_handlers_that_start_at_once_merge_everything_once(world: TorturedWorld, endpoint: str):
    world.handle([world.record("upsert", receipt) for receipt in (1, 2)])
    work = [[world.record() for _ in range(4)] for _ in range(2)]
    with Victims(endpoint) as other, ThreadPoolExecutor(2) as pool:
        first = pool.submit(world.handle, work[0])
        job = {"do": "handle", "world": world.environment, "log": str(world.directory / "log")}
        second = pool.submit(other.perform, job | {"events": [world.event(work[1])]})
        answers = [first.result()["answer"], second.result()["answer"]]
    assert ACCEPTED in answers
    world.require_sound()
    world.recover()


@pytest.mark.parametrize("damage", ["truncated", "corrupted"])
def test_a_damaged_delta_fails_its_own_receipt_and_no_other(world: TorturedWorld, damage: str):
    bad, good = world.record("upsert", 1), world.record("upsert", 2)
    key = world.delta_key(bad)
    body = world.s3.get_object(Bucket=world.bucket, Key=key)["Body"]
    content = body.read()
    body.close()
    middle = len(content) // 2
    changed = content[:middle] if damage == "truncated" else content[:middle] + b"\xff\x00" + content[middle + 2 :]
    world.s3.put_object(Bucket=world.bucket, Key=key, Body=changed)
    assert world.handle([bad, good])["answer"] == ACCEPTED
    states = [run.lines.state for run in world.runs.find_all([bad, good])]
    assert states == [RunState.FAILED, RunState.COMPLETED]
    failed = world.runs.find(bad)
    assert failed is not None
    assert (failed.lines.error or "").startswith(ErrorCode.OBJECT_CHANGED)
    world.require_sound()


@pytest.mark.long
@pytest.mark.parametrize("loss", ["the version", "a file of it", "CURRENT", "everything"])
def test_what_is_lost_on_the_directory_is_restored_from_s3(world: TorturedWorld, loss: str):
    world.handle([world.record("upsert", receipt) for receipt in (1, 2, 3)])
    root = world.directory / "collections"
    pointer = read_current(root, "lines")
    assert pointer is not None
    version = version_path(root, "lines", pointer.version)
    if loss == "the version":
        shutil.rmtree(version)
    elif loss == "a file of it":
        with (version / ROWS_NAME).open("r+b") as file:
            file.truncate(5_000)
    elif loss == "CURRENT":
        current_path(root, "lines").unlink()
    else:
        shutil.rmtree(root)
    world.settings["bootstrap_collections"] = False
    assert world.handle([world.record("upsert", 4)])["answer"] == ACCEPTED
    world.recover()


@pytest.mark.parametrize("loss", ["the version", "everything"])
def test_what_is_lost_before_s3_has_it_is_merged_again(world: TorturedWorld, loss: str):
    world.handle([world.record("upsert", receipt) for receipt in (1, 2, 3)])
    world.require_sound()
    killed = {"point": "uploading the version", "moment": "before", "call": 1}
    assert world.handle([world.record("upsert", receipt) for receipt in (2, 4)], kill=killed)["killed"]
    root = world.directory / "collections"
    pointer = read_current(root, "lines")
    assert pointer is not None
    assert len(world.unfinished()) == 2
    shutil.rmtree(root if loss == "everything" else version_path(root, "lines", pointer.version))
    world.settings["bootstrap_collections"] = False
    world.recover()


def test_a_stream_batch_that_is_replayed_changes_nothing(world: TorturedWorld):
    references = [world.record() for _ in range(6)]
    records = [
        {
            "dynamodb": {
                "SequenceNumber": str(number),
                "NewImage": world.dynamodb.get_item(
                    TableName=world.table,
                    Key={
                        "PK": {"S": f"IMAGE#{reference.image_id}"},
                        "SK": {"S": f"RECEIPT#00001#COMPACTION_RUN#{reference.run_id}"},
                    },
                )["Item"],
            }
        }
        for number, reference in enumerate(references)
    ]
    environment = StreamProcessorEnvironment(
        table_name=world.table,
        lines_queue_url="lines",
        words_queue_url="words",
        stream_failure_queue_url="failures",
        lines_dead_letter_queue_url="lines-dead-letters",
        words_dead_letter_queue_url="words-dead-letters",
    )
    queues = RecordingQueues()
    open_requests = OpenRequests(table_name=world.table, dynamodb=world.dynamodb)
    for _ in range(2):
        process_records(records, environment=environment, sqs_client=queues, open_requests=open_requests)
    first, again = queues.to("lines")
    assert first["MessageDeduplicationId"] == again["MessageDeduplicationId"]
    events = [
        {
            "Records": [
                {
                    "messageId": "m",
                    "receiptHandle": "r",
                    "body": sent["MessageBody"],
                    "attributes": {"MessageGroupId": "lines"},
                }
            ]
        }
        for sent in (first, again)
    ]
    answer = world.victims.perform(
        {"do": "handle", "world": world.environment, "events": events, "log": str(world.directory / "log")}
    )
    assert answer["answer"] == ACCEPTED * 2
    versions = [path.name for path in (world.directory / "collections" / "lines" / "versions").iterdir()]
    assert len(versions) == 1
    world.recover()


def test_the_check_is_another_process_in_production(world: TorturedWorld):
    assert world.handle([world.record("upsert", 1)], real_check=True)["answer"] == ACCEPTED
    world.require_sound()


def test_what_a_killed_process_left_on_the_local_disk_is_removed_by_the_next(world: TorturedWorld):
    kill = {"point": "the index", "moment": "after", "call": 1}
    assert world.handle([world.record("upsert", 1)], kill=kill)["killed"]
    working = world.directory / "working"
    assert len(list(working.glob("*.private"))) == 1
    world.recover()
    assert list(working.glob("*.private")) == []
