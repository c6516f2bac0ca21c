"""An SQS client that records what is sent and can refuse; FIFO behaviour itself is tested on the emulator, not here."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RecordingQueues:
    """The calls that the stages make to SQS."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    released: list[tuple[str, int]] = field(default_factory=list)
    delayed: list[tuple[str, str, int]] = field(default_factory=list)
    refuse_next_entries: int = 0

    def send_message(self, **message: Any) -> dict[str, Any]:
        """Take one message."""
        self.sent.append(message)
        return {"MessageId": str(len(self.sent))}

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        """Take a batch, but refuse as many entries as were asked for."""
        refused = Entries[: self.refuse_next_entries]
        self.refuse_next_entries -= len(refused)
        self.sent += [{"QueueUrl": QueueUrl, **entry} for entry in Entries[len(refused) :]]
        return {"Failed": [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in refused]}

    def change_message_visibility(self, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:
        """Remember when a message comes back."""
        self.delayed.append((QueueUrl, ReceiptHandle, VisibilityTimeout))

    def to(self, queue_url: str) -> list[dict[str, Any]]:
        """What was sent to one queue."""
        return [message for message in self.sent if message["QueueUrl"] == queue_url]
