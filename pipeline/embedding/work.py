"""What the embedding core is given, what it carries from stage to stage, and what it gives back. No decisions here."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pipeline.contracts.artifacts import LineRow, WordRow
from pipeline.contracts.messages import EmbedMessage
from pipeline.contracts.run import CompactionRun
from pipeline.errors import PipelineError


class Disposition(StrEnum):
    """What became of a message. All but RETRY leave the queue."""

    EMBEDDED = "EMBEDDED"
    APPLIED_AGAIN = "APPLIED_AGAIN"
    SKIPPED = "SKIPPED"
    PARKED = "PARKED"
    RETRY = "RETRY"


@dataclass(frozen=True, kw_only=True)
class IncomingMessage:
    """A message as a host received it.

    Attributes:
        receives: how often, this time included.
    """

    message_id: str
    body: str
    group_id: str
    receives: int = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one message, and why when it was not embedded.

    Attributes:
        pause_seconds: when a RETRY is to come back; None leaves it to the queue's visibility timeout.
    """

    message_id: str
    disposition: Disposition
    error: PipelineError | None = None
    pause_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the table said of a receipt, and what follows for one message.

    Attributes:
        run_id: the run that the message is, or would be.
        recorded: the run that has this content already; None when it must be embedded.
        runs: all of the receipt's, oldest first.
        latest: the version of the receipt's last operation; only if nothing newer is recorded is all this still true.
    """

    run_id: str
    recorded: CompactionRun | None
    runs: Sequence[CompactionRun]
    latest: int


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A receipt whose artifacts were read and verified.

    Attributes:
        content_id: the run id that is computed from the content.
        lines: those that say something; ``words`` likewise.
    """

    message: EmbedMessage
    content_id: str
    lines: Sequence[LineRow]
    words: Sequence[WordRow]
    seen: Seen

    @property
    def texts(self) -> list[str]:
        """The text of every line, then of every word."""
        return [row.text for row in (*self.lines, *self.words)]


class TextVectors:
    """The vectors of the texts of many receipts, each distinct text once.

    Args:
        texts: distinct.
        matrix: texts x dimensions.
    """

    def __init__(self, texts: Sequence[str], matrix: np.ndarray) -> None:
        self._position = {text: index for index, text in enumerate(texts)}
        self._matrix = matrix

    def has(self, texts: Sequence[str]) -> bool:
        """Whether there is a vector for each of these texts."""
        return self._position.keys() >= set(texts)

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of some texts, a row a text, in their order."""
        return self._matrix[[self._position[text] for text in texts]]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A message between two stages.

    Attributes:
        receipt: None when it could not be read, or when an earlier message of its group must be retried first.
        vectors: of all its texts, and of other receipts'; None unless it was embedded.
        error: what an earlier stage ran into; the last stage settles it.
    """

    incoming: IncomingMessage
    receipt: Receipt | None = None
    vectors: TextVectors | None = None
    error: PipelineError | None = None

    @property
    def needs_embedding(self) -> bool:
        """Whether its texts must be embedded."""
        return self.error is None and self.receipt is not None and self.receipt.seen.recorded is None

    @property
    def texts(self) -> list[str]:
        """The texts to embed; none when there is nothing to embed."""
        return self.receipt.texts if self.receipt is not None and self.needs_embedding else []
