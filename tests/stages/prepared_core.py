"""An embedding core that answers as prepared, and messages for it; what the real one does is tested elsewhere."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from compaction_worker.held import HeldMessage
from pipeline.contracts.artifacts import LineRow
from pipeline.contracts.messages import EmbedMessage
from pipeline.contracts.ocr import BoundingBox
from pipeline.embedding.work import Disposition, IncomingMessage, Outcome, Receipt, Seen, Work

BOX = BoundingBox(x=0, y=0, width=1, height=1)


def message(number: int, group: str | None = None) -> dict[str, Any]:
    """A message as SQS gives it."""
    attributes = {"MessageGroupId": group or f"g{number}"}
    return {"MessageId": f"m{number}", "ReceiptHandle": f"r{number}", "Body": "{}", "Attributes": attributes}


def held_message(number: int, group: str | None = None) -> HeldMessage:
    """The same, held."""
    incoming = IncomingMessage(message_id=f"m{number}", body="{}", group_id=group or f"g{number}")
    return HeldMessage(incoming=incoming, receipt_handle=f"r{number}")


def work(incoming: IncomingMessage, texts: Sequence[str]) -> Work:
    """A message whose receipt has these lines and was never embedded."""
    embed = EmbedMessage(
        image_id=UUID(int=1),
        receipt_id=1,
        artifacts_bucket="a",
        lines_key="l",
        words_key="w",
        run_id="0" * 32,
        lines_count=len(texts),
        words_count=0,
        lines_sha256="0" * 64,
        words_sha256="0" * 64,
    )
    lines = [
        LineRow(line_id=n, text=text, confidence=1, bounding_box=BOX, is_noise=False) for n, text in enumerate(texts, 1)
    ]
    seen = Seen(run_id="0" * 32, recorded=None, runs=(), latest=0)
    receipt = Receipt(message=embed, content_id="0" * 32, lines=lines, words=[], seen=seen)
    return Work(incoming=incoming, receipt=receipt)


def nothing(_: Sequence[str]) -> None:
    """What happens in a stage unless a test wants something."""


@dataclass
class PreparedCore:
    """Remembers what each stage was given.

    Attributes:
        on_prepare: called in the stage with the ids of its messages, before anything is answered.
        texts: of a message; one of its own unless prepared.
    """

    dispositions: dict[str, Disposition] = field(default_factory=dict)
    pauses: dict[str, int] = field(default_factory=dict)
    texts: dict[str, Sequence[str]] = field(default_factory=dict)
    on_prepare: Callable[[Sequence[str]], object] = nothing
    on_embed: Callable[[Sequence[str]], object] = nothing
    on_write: Callable[[Sequence[str]], object] = nothing
    seen: list[IncomingMessage] = field(default_factory=list)
    requests: list[list[str]] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, batch: Sequence[IncomingMessage]) -> list[Work]:
        """Give every message its texts."""
        with self.lock:
            self.seen += batch
        self.on_prepare([item.message_id for item in batch])
        return [work(item, self.texts.get(item.message_id, [item.message_id])) for item in batch]

    def embed(self, works: Sequence[Work]) -> list[Work]:
        """Remember the request."""
        ids = [item.incoming.message_id for item in works]
        self.requests.append(ids)
        self.on_embed(ids)
        return list(works)

    def write(self, works: Sequence[Work]) -> list[Outcome]:
        """Answer as prepared."""
        ids = [item.incoming.message_id for item in works]
        self.on_write(ids)
        with self.lock:
            self.written += ids
        return [
            Outcome(
                message_id=item,
                disposition=self.dispositions.get(item, Disposition.EMBEDDED),
                pause_seconds=self.pauses.get(item),
            )
            for item in ids
        ]


def core_with(stage: str, action: Callable[[Sequence[str]], object]) -> PreparedCore:
    """A core that does this in one of its stages: ``on_prepare``, ``on_embed`` or ``on_write``."""
    core = PreparedCore()
    setattr(core, stage, action)
    return core
