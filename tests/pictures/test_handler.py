"""Stage 0 at its bucket and queues. A failure here loses a picture, reads it twice, or keeps a bad one coming back."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.rendering import encode
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.errors import ErrorCode, RetryableError
from pipeline.objects import ObjectStore
from tests.pictures import files
from tests.stages.recording_queue import RecordingQueues
from tests.world import MOTO
from upload_images.pictures.answer import Answer
from upload_images.pictures.environment import ReadPicturesEnvironment
from upload_images.pictures.handler import PictureReader
from upload_images.pictures.kinds import first_image_id, outcome_key
from upload_images.pictures.outcome import PictureOutcome
from upload_images.pictures.reading import answer_of

BUCKET, DEAD_LETTERS = "artifacts", "https://sqs/pictures-dlq"
GOOD = encode(files.receipt())
MAXIMUM_RECEIVES = 3


class Clock:
    """S3's, which the test moves: moto stamps objects with the time of this machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
        monkeypatch.setattr("moto.s3.models.utcnow", lambda: self.now.replace(tzinfo=None))

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def s3(aws: None, clock: Clock) -> Any:
    MOTO("s3").create_bucket(Bucket=BUCKET)
    return MOTO("s3")


@pytest.fixture
def queues() -> RecordingQueues:
    return RecordingQueues()


class Reading:
    """Reads as the child does, in this process, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self.before: Callable[[], object] = list

    def __call__(self, content: bytes) -> Answer:
        self.count += 1
        self.before()
        answer = answer_of(content)
        if answer.fault is not None:
            raise answer.fault.error()
        return answer


@pytest.fixture
def reading() -> Reading:
    return Reading()


@pytest.fixture
def reader(s3: Any, queues: RecordingQueues, reading: Reading) -> PictureReader:
    environment = ReadPicturesEnvironment(
        artifacts_bucket=BUCKET, pictures_dead_letter_queue_url=DEAD_LETTERS, maximum_receives=MAXIMUM_RECEIVES
    )
    return PictureReader(environment=environment, objects=ObjectStore(s3), sqs_client=queues, read=reading)


def announced(*keys: str, message_id: str = "m1", receives: int = 1, bucket: str = BUCKET) -> Any:
    records = [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in keys]
    attributes = {"ApproximateReceiveCount": str(receives)}
    return {"messageId": message_id, "body": json.dumps({"Records": records}), "attributes": attributes}


def put(s3: Any, key: str, content: bytes = GOOD) -> None:
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)


def keys(s3: Any, prefix: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]


def outcome(s3: Any, content: bytes = GOOD) -> PictureOutcome:
    body = s3.get_object(Bucket=BUCKET, Key=outcome_key(first_image_id(content)))["Body"].read()
    return PictureOutcome.model_validate_json(body)


def written(s3: Any) -> list[Any]:
    return s3.list_objects_v2(Bucket=BUCKET, Prefix="ocr/").get("Contents", [])


def test_a_picture_becomes_an_ocr_result_and_an_outcome(reader, s3, queues):
    put(s3, "images/any name.png")
    assert reader.process([announced("images/any+name.png")]) == {"batchItemFailures": []}
    identifier = first_image_id(GOOD)
    (key,) = keys(s3, "ocr/")
    assert key == f"ocr/{identifier}.json"
    document = parse_ocr_document(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read(), key)
    assert document.receipts[0].lines[0].text == "HOLLOW OAK HARDWARE"
    assert outcome(s3) == PictureOutcome(
        image_id=identifier, picture_key="images/any name.png", image_ids=(identifier,), remarks=()
    )
    assert queues.sent == []


def test_a_delivery_that_comes_again_reads_and_writes_nothing(reader, s3, reading):
    put(s3, "images/a.png")
    reader.process([announced("images/a.png")])
    before = written(s3)
    assert reader.process([announced("images/a.png", receives=2)]) == {"batchItemFailures": []}
    assert reading.count == 1
    assert written(s3) == before


def test_the_same_picture_under_another_name_at_once_is_the_same_image(reader, s3, clock):
    for name in ("a", "b"):
        put(s3, f"images/{name}.png")
    clock.move(2)
    reader.process([announced("images/a.png"), announced("images/b.png", message_id="m2")])
    assert len(written(s3)) == 1


def test_a_picture_that_is_uploaded_again_later_is_announced_to_stage_1_again(reader, s3, clock):
    # Its receipt may have been removed in between, and then it must come back.
    put(s3, "images/a.png")
    reader.process([announced("images/a.png")])
    (before,) = written(s3)
    clock.move(5)
    put(s3, "images/a.png")
    clock.move(5)
    reader.process([announced("images/a.png", message_id="m2")])
    (after,) = written(s3)
    assert after["LastModified"] - before["LastModified"] == timedelta(seconds=10)
    assert after["ETag"] == before["ETag"]


def test_an_ocr_result_that_came_after_the_picture_is_not_written_over(reader, s3, clock):
    put(s3, "images/a.png")
    clock.move(5)
    s3.put_object(Bucket=BUCKET, Key=f"ocr/{first_image_id(GOOD)}.json", Body=b"corrected by a person")
    reader.process([announced("images/a.png")])
    (key,) = keys(s3, "ocr/")
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"corrected by a person"


def test_two_deliveries_at_once_write_once(reader, s3, reading, queues, clock):
    put(s3, "images/a.png")
    clock.move(2)
    other = PictureReader(environment=reader.environment, objects=reader.objects, sqs_client=queues)
    reading.before = lambda: other.process([announced("images/a.png")])
    reader.process([announced("images/a.png")])
    versions = s3.list_object_versions(Bucket=BUCKET, Prefix="ocr/")["Versions"]
    assert len(versions) == 1
    assert outcome(s3).error is None


def test_what_was_written_half_is_completed_by_the_next_delivery(reader, s3, monkeypatch, clock):
    content = files.pages("TIFF", files.receipt(), files.receipt())
    put(s3, "images/a.tiff", content)
    clock.move(2)
    plain, calls = ObjectStore.replace, []

    def replace(self: ObjectStore, *arguments: Any) -> bool:
        calls.append(arguments)
        if len(calls) == 2:
            raise RetryableError(ErrorCode.SERVICE_UNAVAILABLE, value="S3", rule="it answers", way_out="wait")
        return plain(self, *arguments)

    monkeypatch.setattr(ObjectStore, "replace", replace)
    assert reader.process([announced("images/a.tiff")]) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    (first,) = written(s3)
    clock.move(60)
    assert reader.process([announced("images/a.tiff", receives=2)]) == {"batchItemFailures": []}
    assert len(written(s3)) == 2
    assert first in written(s3)
    assert len(outcome(s3, content).image_ids) == 2


def test_a_bad_picture_is_parked_once_with_its_reason_and_its_neighbour_is_read(reader, s3, queues):
    put(s3, "images/bad.jpg", b"a text called .jpg")
    put(s3, "images/good.png")
    answer = reader.process([announced("images/bad.jpg", message_id="bad"), announced("images/good.png")])
    assert answer == {"batchItemFailures": []}
    (parked,) = queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "PICTURE_UNREADABLE"
    assert "s3://artifacts/images/bad.jpg: it begins like" in parked["MessageAttributes"]["reason"]["StringValue"]
    assert parked["MessageBody"] == announced("images/bad.jpg")["body"]
    assert len(written(s3)) == 1
    error = outcome(s3, b"a text called .jpg").error
    assert error is not None
    assert error.code == "PICTURE_UNREADABLE"


def test_a_bad_picture_that_is_redriven_is_read_again(reader, s3, queues, reading):
    # For example when HEIC has become readable meanwhile.
    put(s3, "images/bad.jpg", b"text")
    for _ in range(2):
        reader.process([announced("images/bad.jpg")])
    assert reading.count == 2


def test_a_picture_that_cannot_be_read_in_time_is_tried_again_and_parked_at_its_last_delivery(
    reader, s3, queues, reading
):
    put(s3, "images/a.png")

    def fail() -> None:
        raise RetryableError(ErrorCode.RECOGNITION_FAILED, value="too slow", rule="in time", way_out="smaller")

    reading.before = fail
    for receives in range(1, MAXIMUM_RECEIVES):
        assert reader.process([announced("images/a.png", receives=receives)])["batchItemFailures"]
        assert queues.sent == []
        assert keys(s3, "readings/") == []
    assert reader.process([announced("images/a.png", receives=MAXIMUM_RECEIVES)]) == {"batchItemFailures": []}
    (parked,) = queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "RECOGNITION_FAILED"
    error = outcome(s3).error
    assert error is not None
    assert error.code == "RECOGNITION_FAILED"


def test_a_dead_letter_queue_that_takes_nothing_leaves_the_picture_for_another_delivery(
    reader, s3, queues, monkeypatch
):
    put(s3, "images/bad.jpg", b"text")
    monkeypatch.setattr(queues, "send_message", lambda **_: (_ for _ in ()).throw(RuntimeError("no")))
    assert reader.process([announced("images/bad.jpg")]) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}


def test_a_picture_of_too_many_bytes_is_not_read(reader, s3, queues, monkeypatch):
    put(s3, "images/a.png", bytes(20 * 1024 * 1024 + 1))

    def read(*_: object) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr("botocore.response.StreamingBody.read", read)
    assert reader.process([announced("images/a.png")]) == {"batchItemFailures": []}
    (parked,) = queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "PICTURE_TOO_LARGE"


def test_a_picture_that_is_gone_is_parked_as_missing(reader, queues):
    reader.process([announced("images/never.png")])
    (parked,) = queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "OBJECT_MISSING"


def test_an_empty_folder_that_a_console_made_is_no_picture(reader, s3, queues):
    put(s3, "images/2026/", b"")
    assert reader.process([announced("images/2026/")]) == {"batchItemFailures": []}
    assert queues.sent == []


@pytest.mark.parametrize(("bucket", "key"), [("somebody-elses", "images/a.png"), (BUCKET, "ocr/a.json")])
def test_what_is_no_picture_of_this_stack_is_not_read(reader, queues, reading, bucket, key):
    s3 = MOTO("s3")
    if bucket != BUCKET:
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=GOOD)
    assert reader.process([announced(key, bucket=bucket)]) == {"batchItemFailures": []}
    (parked,) = queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "MESSAGE_INVALID"
    assert reading.count == 0


def test_a_bad_picture_does_not_take_along_another_one_of_the_same_notification(reader, s3, queues):
    put(s3, "images/bad.jpg", b"text")
    put(s3, "images/good.png")
    assert reader.process([announced("images/bad.jpg", "images/good.png")]) == {"batchItemFailures": []}
    assert len(written(s3)) == len(queues.to(DEAD_LETTERS)) == 1
