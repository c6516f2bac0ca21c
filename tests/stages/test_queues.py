"""Sending and parking at SQS's limits. A failure here tries for ever what SQS never takes, or loses its neighbours."""

from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.contracts.identifiers import receipt_folder, sha256_hex
from pipeline.contracts.limits import LARGEST_INTEGER, MAXIMUM_MERCHANT_NAME, MAXIMUM_ROWS
from pipeline.contracts.messages import EmbedMessage
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.queues import (
    MESSAGE_BYTES,
    REASON_LIMIT,
    SEND_BATCH_LIMIT,
    OutgoingMessage,
    come_back_after,
    park,
    send_batch,
)
from tests.compaction.test_stream_processor import MOMENT
from tests.stages.anything import refusal
from tests.stages.ocr_results import BUCKET, DEAD_LETTERS, EMBED_QUEUE, document, notification, receipt
from tests.stages.recording_queue import RecordingQueues

CODES = pytest.mark.parametrize(
    "code", ["InvalidMessageContents", "AWS.SimpleQueueService.InvalidMessageContents", "InvalidParameterValue"]
)


def outgoing(*bodies: str) -> list[OutgoingMessage]:
    return [OutgoingMessage(body=body, group_id=body, deduplication_id=body) for body in bodies]


class Particular(RecordingQueues):
    """Never takes a message that holds ``bad``: as an entry, or with the whole call."""

    def __init__(self, code: str, *, as_entry: bool) -> None:
        super().__init__()
        self.code, self.as_entry, self.calls = code, as_entry, 0

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls += 1
        bad = [entry for entry in Entries if "bad" in entry["MessageBody"]]
        if bad and not self.as_entry:
            raise refusal(self.code)
        super().send_message_batch(QueueUrl, [entry for entry in Entries if entry not in bad])
        return {"Failed": [{"Id": entry["Id"], "Code": self.code, "SenderFault": True} for entry in bad]}


@CODES
@pytest.mark.parametrize("as_entry", [True, False])
def test_what_sqs_never_carries_is_permanent_and_everything_else_is_sent(code, as_entry):
    sqs = Particular(code, as_entry=as_entry)
    names = [str(number) for number in range(15)]
    with pytest.raises(PermanentError) as caught:
        send_batch(sqs, "q", outgoing("bad", *names), sleep=lambda _: None)
    assert caught.value.code is ErrorCode.REQUEST_INVALID
    assert code in str(caught.value)
    assert sorted(message["MessageBody"] for message in sqs.sent) == sorted(names)


def test_messages_that_are_too_large_together_are_sent_one_by_one():
    class Narrow(RecordingQueues):
        def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
            if len(Entries) > 1:
                raise refusal("AWS.SimpleQueueService.BatchRequestTooLong")
            return super().send_message_batch(QueueUrl, Entries)

    sqs = Narrow()
    send_batch(sqs, "q", outgoing("a", "b"), sleep=lambda _: None)
    assert [message["MessageBody"] for message in sqs.sent] == ["a", "b"]


@pytest.mark.parametrize("code", ["RequestThrottled", "InternalError", "KmsThrottled", "AccessDenied"])
def test_a_call_that_fails_whole_is_tried_again_whole_and_in_its_order(code):
    sqs = Particular(code, as_entry=False)
    with pytest.raises(RetryableError) as caught:
        send_batch(sqs, "q", outgoing("good", "bad"), sleep=lambda _: None)
    assert caught.value.code is ErrorCode.SEND_FAILED
    assert "2 message(s) for q" in str(caught.value)
    assert sqs.calls > 1
    assert sqs.sent == [], "the first is not sent without the second, which is of the same receipt perhaps"


@pytest.mark.parametrize("error", [refusal("AccessDenied"), EndpointConnectionError(endpoint_url="https://sqs")])
def test_a_pause_that_sqs_does_not_grant_is_said_and_costs_no_message(error, caplog, monkeypatch):
    sqs = RecordingQueues()

    def refused(**_: Any) -> None:
        raise error

    monkeypatch.setattr(sqs, "change_message_visibility", refused)
    come_back_after(sqs, "q", "receipt handle", 30)
    assert "a message comes back only when its queue brings it" in caplog.text


@pytest.mark.parametrize("code", ["RequestThrottled", "InternalError", "KmsThrottled", "AccessDenied"])
def test_what_may_pass_is_tried_again_and_then_left_for_another_delivery(code):
    sqs = Particular(code, as_entry=True)
    with pytest.raises(RetryableError) as caught:
        send_batch(sqs, "q", outgoing("bad", "good"), sleep=lambda _: None)
    assert caught.value.code is ErrorCode.SEND_FAILED
    assert sqs.calls > 1
    assert len(sqs.sent) == 1, "what was taken is not sent again"


@CODES
def test_a_receipt_whose_message_sqs_never_carries_is_parked_once_and_its_neighbours_go_on(processor, s3, code):
    sqs = Particular(code, as_entry=True)
    object.__setattr__(processor, "sqs_client", sqs)
    s3.put_object(
        Bucket=BUCKET, Key="ocr/a.json", Body=document(receipt(1), receipt(2, merchant_name="bad"), receipt(3))
    )
    assert processor.process([notification("ocr/a.json")]) == {"batchItemFailures": []}
    assert len(sqs.to(EMBED_QUEUE)) == 2
    (parked,) = sqs.to(DEAD_LETTERS)
    assert parked["MessageAttributes"]["error_code"]["StringValue"] == "REQUEST_INVALID"


def test_ten_messages_of_the_largest_receipts_are_one_batch():
    folder = receipt_folder(UUID(int=1), LARGEST_INTEGER, "0" * 16)
    message = EmbedMessage(
        image_id=UUID(int=1),
        receipt_id=LARGEST_INTEGER,
        artifacts_bucket="b" * 63,
        lines_key=f"{folder}/lines.ndjson",
        words_key=f"{folder}/words.ndjson",
        run_id="0" * 32,
        lines_count=MAXIMUM_ROWS,
        words_count=MAXIMUM_ROWS,
        lines_sha256=sha256_hex(b""),
        words_sha256=sha256_hex(b""),
        merchant_name="\U0001f9fe" * MAXIMUM_MERCHANT_NAME,
        uploaded_at=MOMENT,
        sequencer="0" * 64,
    )
    assert set(message.model_dump(exclude_none=True)) == set(EmbedMessage.model_fields), "a field is not filled"
    assert SEND_BATCH_LIMIT * len(message.model_dump_json().encode()) < MESSAGE_BYTES / 10


@pytest.mark.parametrize(("size", "told"), [(MESSAGE_BYTES - 2 * REASON_LIMIT, True), (MESSAGE_BYTES, False)])
def test_a_message_that_leaves_no_room_for_its_reason_is_parked_all_the_same(size, told, caplog):
    sqs = RecordingQueues()
    error = PermanentError(ErrorCode.MESSAGE_INVALID, value="v" * 2_000, rule="r", way_out="w")
    park(sqs, "dead", "x" * size, error, group_id="g", message_id="m")
    (parked,) = sqs.sent
    assert parked["MessageBody"] == "x" * size
    assert bool(parked["MessageAttributes"]) is told
    assert told or [record.message_id for record in caplog.records] == ["m"]  # pyrefly: ignore
