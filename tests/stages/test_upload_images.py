"""Stage 1. A failure here loses receipts at the door, or sends the same receipt to be paid for twice."""

import json

import pytest

from pipeline.contracts.limits import MAXIMUM_DOCUMENT_BYTES
from tests.bad_documents import REFUSED, TAKEN
from tests.stages.ocr_results import BUCKET, DEAD_LETTERS, EMBED_QUEUE, IMAGE, document, notification, receipt


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
        (b"{not json", "it is not JSON"),
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


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_no_fault_is_sent(processor, s3, queues, name):
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=TAKEN[name])
    assert processor.process([notification("ocr/a.json")]) == {"batchItemFailures": []}
    assert queues.to(DEAD_LETTERS) == []
    assert len(queues.to(EMBED_QUEUE)) == 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_parked_once_at_its_first_delivery(processor, s3, queues, name):
    content, said = REFUSED[name]
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=content)
    assert processor.process([notification("ocr/a.json")]) == {"batchItemFailures": []}
    (parked,) = queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "OCR_DOCUMENT_INVALID"
    assert said in parked["MessageAttributes"]["reason"]["StringValue"]
    assert queues.to(EMBED_QUEUE) == []


def test_the_good_receipts_of_an_image_are_sent_and_the_bad_ones_parked_together_with_their_reasons(
    processor, s3, queues
):
    bad = [receipt(2, lines=[]), receipt(3, merchant_name="SHOP\uffff")]
    good = [receipt(number) for number in (1, *range(4, 11))]
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=document(good[0], *bad, *good[1:]))
    assert processor.process([notification("ocr/a.json")]) == {"batchItemFailures": []}
    assert [json.loads(message["MessageBody"])["receipt_id"] for message in queues.to(EMBED_QUEUE)] == [
        1,
        *range(4, 11),
    ]
    (parked,) = queues.to(DEAD_LETTERS)
    reason = parked["MessageAttributes"]["reason"]["StringValue"]
    assert "receipts.1: the receipt has no lines; receipts.2.merchant_name: character 5 is U+FFFF" in reason
    assert parked["MessageBody"] == notification("ocr/a.json")["body"]


def test_nothing_is_parked_while_the_good_receipts_could_not_be_sent(processor, s3, queues, monkeypatch):
    monkeypatch.setattr("pipeline.queues.SEND_ATTEMPTS", 1)
    queues.refuse_next_entries = 1
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=document(receipt(1), receipt(2, lines=[])))
    assert processor.process([notification("ocr/a.json")]) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert queues.to(DEAD_LETTERS) == []
    assert processor.process([notification("ocr/a.json")]) == {"batchItemFailures": []}
    assert len(queues.to(DEAD_LETTERS)) == len(queues.to(EMBED_QUEUE)) == 1


def test_a_bad_document_does_not_take_along_another_one_of_the_same_notification(processor, s3, queues):
    s3.put_object(Bucket=BUCKET, Key="ocr/bad.json", Body=b"[]")
    s3.put_object(Bucket=BUCKET, Key="ocr/good.json", Body=document(receipt()))
    both = notification("ocr/bad.json")
    records = json.loads(both["body"])["Records"] + json.loads(notification("ocr/good.json")["body"])["Records"]
    both["body"] = json.dumps({"Records": records})
    assert processor.process([both]) == {"batchItemFailures": []}
    assert len(queues.to(DEAD_LETTERS)) == len(queues.to(EMBED_QUEUE)) == 1


def test_a_document_that_is_too_large_is_not_read(processor, s3, queues, monkeypatch):
    s3.put_object(Bucket=BUCKET, Key="ocr/a.json", Body=b" " * (MAXIMUM_DOCUMENT_BYTES + 1))

    def read(*_: object) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr("botocore.response.StreamingBody.read", read)
    processor.process([notification("ocr/a.json")])
    (parked,) = queues.to(DEAD_LETTERS)
    assert f"has {MAXIMUM_DOCUMENT_BYTES + 1} bytes" in parked["MessageAttributes"]["reason"]["StringValue"]


@pytest.mark.parametrize(("bucket", "key"), [("somebody-elses", "ocr/a.json"), (BUCKET, "receipts/a.json")])
def test_an_object_that_is_no_ocr_result_of_this_stack_is_not_read(processor, s3, queues, bucket, key):
    if bucket != BUCKET:
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=document(receipt()))
    announced = notification(key)
    announced["body"] = announced["body"].replace(BUCKET, bucket)
    assert processor.process([announced]) == {"batchItemFailures": []}
    (parked,) = queues.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "MESSAGE_INVALID"
    assert queues.to(EMBED_QUEUE) == []
