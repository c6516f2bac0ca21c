"""Receives dead letters to look at them, and makes them visible again. It takes none away."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ops.dead_letters.deciding import QUEUES, present
from ops.dead_letters.describing import DeadLetter, Message, described
from ops.operations import repository
from ops.target import Target

PEEK_SECONDS = 60
"""For so long at most what is looked at is hidden from others; it is visible again when the look has ended."""
LOOKED_AT = 1_000
"""Dead letters of one queue; `receipts status` counts all of them."""
BATCH = 10
"""Of one ReceiveMessage and of one ChangeMessageVisibilityBatch (Amazon SQS API reference)."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a look has seen.

    Attributes:
        letters: queue after queue, each in the order in which SQS gave them.
        unseen: queue to the number of dead letters that were not given: above ``LOOKED_AT``, hidden by somebody else's
            look, or behind ten of their message group, which SQS gives only when those are gone.
    """

    letters: tuple[DeadLetter, ...]
    unseen: dict[str, int]


def look(target: Target, queues: Iterable[str] = tuple(QUEUES)) -> Looked:
    """Look at the dead letters of these queues, up to ``LOOKED_AT`` each."""
    find_runs = repository(target).find_all
    letters: list[DeadLetter] = []
    unseen: dict[str, int] = {}
    for queue, url in present(queues, target.outputs).items():
        messages = receive(target, url)
        show_again(target, url, [message["ReceiptHandle"] for message in messages])
        if left := _count(target, url) - len(messages):
            unseen[queue] = max(0, left)
        letters += [described(queue, message, find_runs) for message in messages]
    return Looked(letters=tuple(letters), unseen={queue: count for queue, count in unseen.items() if count})


def receive(target: Target, queue_url: str) -> list[Message]:
    """Receive what is there, each message once; all of it is hidden from others for ``PEEK_SECONDS``."""
    found: dict[str, Message] = {}
    try:
        while len(found) < LOOKED_AT:
            messages = target.sqs.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=PEEK_SECONDS,
                WaitTimeSeconds=0,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            new = {message["MessageId"]: message for message in messages}
            if not new.keys() - found.keys():
                break
            found |= new
    except BaseException:
        show_again(target, queue_url, [message["ReceiptHandle"] for message in found.values()])
        raise
    return list(found.values())


def show_again(target: Target, queue_url: str, receipt_handles: Sequence[str]) -> None:
    """Make messages visible to others at once."""
    _visible_after(target, queue_url, receipt_handles, 0)


def hide_longer(target: Target, queue_url: str, receipt_handles: Sequence[str]) -> None:
    """Hide messages that were received for ``PEEK_SECONDS`` from now."""
    _visible_after(target, queue_url, receipt_handles, PEEK_SECONDS)


def _visible_after(target: Target, queue_url: str, receipt_handles: Sequence[str], seconds: int) -> None:
    for start in range(0, len(receipt_handles), BATCH):
        entries = [
            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for number, handle in enumerate(receipt_handles[start : start + BATCH])
        ]
        target.sqs.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)


def _count(target: Target, queue_url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = target.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)
