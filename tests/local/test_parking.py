"""Dead letters on the emulator's FIFO queues. A failure here deletes the only copy of a receipt's message."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from pipeline.errors import ErrorCode, PermanentError
from pipeline.queues import park
from tests.world import create_queue, emulator_clients

ERROR = PermanentError(ErrorCode.MESSAGE_INVALID, value="v", rule="r", way_out="w")


@pytest.fixture
def sqs(endpoint: str) -> Iterator[Any]:
    with closing(emulator_clients(endpoint)) as clients:
        yield clients("sqs")


def receive(sqs: Any, url: str) -> dict[str, Any]:
    answer = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"])
    (message,) = answer["Messages"]
    return message


def waiting(sqs: Any, url: str) -> int:
    names = ["ApproximateNumberOfMessages"]
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]])


def move(sqs: Any, origin: str, destination: str, deduplication_id: str) -> None:
    """What a redrive does: the message is sent as a new one, and its original is deleted."""
    message = receive(sqs, origin)
    sqs.send_message(
        QueueUrl=destination,
        MessageBody=message["Body"],
        MessageGroupId=message["Attributes"]["MessageGroupId"],
        MessageDeduplicationId=deduplication_id,
    )
    sqs.delete_message(QueueUrl=origin, ReceiptHandle=message["ReceiptHandle"])


def test_a_message_that_is_parked_again_within_five_minutes_of_its_redrive_is_not_lost(sqs):
    queue, dead_letters = create_queue(sqs, "embed.fifo"), create_queue(sqs, "embed-dlq.fifo")

    def parked(times: int) -> None:
        """One delivery that parks; the delete fails all times but the last, as after a throttled call."""
        message = receive(sqs, queue)
        for _ in range(times):
            park(sqs, dead_letters, message["Body"], ERROR, group_id="g", message_id=message["MessageId"])
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    sqs.send_message(QueueUrl=queue, MessageBody="body", MessageGroupId="g", MessageDeduplicationId="upload")
    parked(2)
    assert waiting(sqs, dead_letters) == 1
    for redrive in ("first", "second"):
        move(sqs, dead_letters, queue, redrive)
        assert waiting(sqs, dead_letters) == 0
        parked(1)
        assert waiting(sqs, dead_letters) == 1
    message = receive(sqs, dead_letters)
    assert message["Body"] == "body"
    assert message["MessageAttributes"]["error_code"]["StringValue"] == "MESSAGE_INVALID"
