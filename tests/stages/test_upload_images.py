"""Stage 1. A failure here loses receipts at the door, or sends the same receipt to be paid for twice."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import boto3
import pytest
from moto import mock_aws

from pipeline.objects import ObjectStore
from tests.stages.recording_queue import RecordingQueues
from upload_images.environment import ProcessOcrResultsEnvironment
from upload_images.handler import OcrResultsProcessor

BUCKET = "artifacts"
EMBED_QUEUE, DEAD_LETTERS = "https://sqs/embed.fifo", "https://sqs/ocr-dlq"
IMAGE = UUID("0c1a7f0e-53a2-4b45-9a4e-6d0b7c8f3a11")


def receipt(receipt_id: int = 1, texts: tuple[str, ...] = ("CAFÉ ALMA", "", "* * *"), **more: Any) -> dict[str, Any]:
    box = {"x": 0.1, "y": 0.1, "width": 0.5, "height": 0.02}
    return {
        "receipt_id": receipt_id,
        "lines": [
            {
                "line_id": number,
                "text": text,
                "confidence": 0.9,
                "bounding_box": box,
                "words": [
                    {"word_id": place, "text": word, "confidence": 0.9, "bounding_box": box}
                    for place, word in enumerate(text.split(), 1)
                ],
            }
            for number, text in enumerate(texts, 1)
        ],
        **more,
    }


def document(*receipts: dict[str, Any]) -> bytes:
    return json.dumps({"image_id": str(IMAGE), "receipts": list(receipts)}).encode()


def notification(key: str, message_id: str = "m1", **fields: str) -> dict[str, Any]:
    record = {"s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}, **fields}
    return {"messageId": message_id, "body": json.dumps({"Records": [record]}), "attributes": {}}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def queues() -> RecordingQueues:
    return RecordingQueues()


@pytest.fixture
def processor(s3: Any, queues: RecordingQueues) -> OcrResultsProcessor:
    environment = ProcessOcrResultsEnvironment(
        artifacts_bucket=BUCKET,
        embed_queue_url=EMBED_QUEUE,
        ocr_results_dead_letter_queue_url=DEAD_LETTERS,
        embedding_model="hashing-char-ngrams-v1",
        embedding_dimensions=256,
    )
    return OcrResultsProcessor(environment=environment, objects=ObjectStore(s3), sqs_client=queues)


def test_every_receipt_of_an_image_becomes_three_artifacts_and_one_message(processor, s3, queues):
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=document(receipt(1), receipt(2, merchant_name="Café Alma")))
    assert processor.process([notification("ocr/a.json")]) == {"batchItemFailures": []}
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="receipts/")["Contents"]]
    assert sorted(key.rsplit("/", 1)[1] for key in keys) == sorted(
        ["lines.ndjson", "words.ndjson", "manifest.json"] * 2
    )
    first, second = (json.loads(message["MessageBody"]) for message in queues.to(EMBED_QUEUE))
    assert (first["receipt_id"], second["receipt_id"]) == (1, 2)
    assert "merchant_name" not in first
    assert second["merchant_name"] == "Café Alma"
    assert {message["MessageGroupId"] for message in queues.sent} == {f"{IMAGE}-00001", f"{IMAGE}-00002"}
    rows = s3.get_object(Bucket=BUCKET, Key=first["lines_key"])["Body"].read().decode().splitlines()
    assert [json.loads(row)["is_noise"] for row in rows] == [False, True, True]


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"eventTime": "2026-01-02T03:04:05.678Z"}, "2026-01-02T03:04:05.678000Z"), ({}, None)],
)
def test_a_message_says_when_s3_got_the_document(processor, s3, queues, fields, told):
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=document(receipt()))
    processor.process([notification("ocr/a.json", **fields)])
    (message,) = queues.to(EMBED_QUEUE)
    assert json.loads(message["MessageBody"]).get("uploaded_at") == told


def test_a_document_that_arrives_again_sends_the_same_run_and_writes_nothing_new(processor, s3, queues):
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=document(receipt()))
    processor.process([notification("ocr/a.json")])
    before = s3.list_objects_v2(Bucket=BUCKET, Prefix="receipts/")["Contents"]
    processor.process([notification("ocr/a.json")])
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="receipts/")["Contents"] == before
    assert len({message["MessageDeduplicationId"] for message in queues.sent}) == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{not json", "Invalid JSON"),
        (document(receipt(1), receipt(1)), "receipt_id is repeated: [1]"),
        (document(receipt(0)), "receipts.0.receipt_id"),
        (json.dumps({"image_id": "not-a-uuid", "receipts": []}).encode(), "image_id"),
    ],
)
def test_a_malformed_document_is_parked_with_its_reason_and_its_neighbour_is_processed(
    processor, s3, queues, content, fault
):
    s3.put_object(Bucket=BUCKET, Key="ocr/bad.json", Body=content)
    s3.put_object(Bucket=BUCKET, Key="ocr/good.json", Body=document(receipt()))
    answer = processor.process([notification("ocr/bad.json", "bad"), notification("ocr/good.json", "good")])
    assert answer == {"batchItemFailures": []}
    (parked,) = queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "OCR_DOCUMENT_INVALID"
    assert fault in parked["MessageAttributes"]["reason"]["StringValue"]
    assert parked["MessageBody"] == notification("ocr/bad.json")["body"]
    assert len(queues.to(EMBED_QUEUE)) == 1


def test_a_missing_document_is_parked_as_missing(processor, queues):
    processor.process([notification("ocr/never.json")])
    assert queues.to(DEAD_LETTERS)[0]["MessageAttributes"]["error_code"]["StringValue"] == "OBJECT_MISSING"


def test_entries_that_the_queue_did_not_take_are_sent_again(processor, s3, queues, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    queues.refuse_next_entries = 1
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=document(receipt(1), receipt(2)))
    assert processor.process([notification("ocr/a.json")]) == {"batchItemFailures": []}
    assert len(queues.to(EMBED_QUEUE)) == 2


def test_a_queue_that_takes_nothing_leaves_the_document_for_another_delivery(processor, s3, queues, monkeypatch):
    monkeypatch.setattr("pipeline.queues.SEND_ATTEMPTS", 1)
    queues.refuse_next_entries = 100
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=document(receipt()))
    assert processor.process([notification("ocr/a.json")]) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}


def test_s3s_own_test_event_is_no_document(processor, queues):
    body = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})
    assert processor.process([{"messageId": "t", "body": body, "attributes": {}}]) == {"batchItemFailures": []}
    assert queues.sent == []
