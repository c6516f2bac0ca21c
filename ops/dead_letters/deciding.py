"""Which dead letters were meant, where each is sent again and in what order. Pure: nothing is received or sent here."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.dead_letters.describing import DeadLetter
from ops.errors import OperatorError
from pipeline.errors import ErrorCode

LEAST_CHARACTERS = 4
"""Of a message id that is abbreviated."""
LIST = "`receipts dead-letters list` shows the ids"


@dataclass(frozen=True, kw_only=True)
class DeadLetterQueue:
    """A dead letter queue of a stack.

    Attributes:
        label: as `receipts status` and `receipts audit` name it.
        output: of the stack, with its address.
        destination: the output with the address of the queue that its messages came from; None for the stream's
            failures, which came from no queue.
        fifo: of both queues.
    """

    label: str
    output: str
    destination: str | None
    fifo: bool


QUEUES: Mapping[str, DeadLetterQueue] = {
    "pictures": DeadLetterQueue(
        label="pictures, dead letters",
        output="picturesDeadLetterQueueUrl",
        destination="picturesQueueUrl",
        fifo=False,
    ),
    "ocr-results": DeadLetterQueue(
        label="OCR results, dead letters",
        output="ocrResultsDeadLetterQueueUrl",
        destination="ocrResultsQueueUrl",
        fifo=False,
    ),
    "embed": DeadLetterQueue(
        label="embed, dead letters", output="embedDeadLetterQueueUrl", destination="embedQueueUrl", fifo=True
    ),
    "lines": DeadLetterQueue(
        label="lines, dead letters", output="linesDeadLetterQueueUrl", destination="linesQueueUrl", fifo=True
    ),
    "words": DeadLetterQueue(
        label="words, dead letters", output="wordsDeadLetterQueueUrl", destination="wordsQueueUrl", fifo=True
    ),
    "stream": DeadLetterQueue(label="stream failures", output="streamFailureQueueUrl", destination=None, fifo=False),
}
"""By the name that the commands take. Those of pictures are there only with ``receipts:ocr``."""


def present(queues: Iterable[str], outputs: Mapping[str, Any]) -> dict[str, str]:
    """Name to address of those of these queues that a stack has."""
    return {queue: outputs[QUEUES[queue].output] for queue in queues if outputs.get(QUEUES[queue].output)}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which dead letters an operator means; every part that is given narrows it.

    Attributes:
        ids: message ids, or beginnings that no other dead letter has.
        queue: one of ``QUEUES``.
        code: of the reason.
        everything: the operator said so; needed when nothing else is given.
    """

    ids: tuple[str, ...] = ()
    queue: str | None = None
    code: str | None = None
    everything: bool = False


def check(selection: Selection) -> None:
    """Refuse a selection that says nothing, or that nothing can ever match.

    Raises:
        OperatorError: SELECTION_EMPTY, CODE_UNKNOWN, MESSAGE_ID_INVALID.
    """
    if not (selection.ids or selection.queue or selection.code or selection.everything):
        raise OperatorError(
            "SELECTION_EMPTY", "it was not said which dead letters are meant", "give ids, --queue, --code, or --all"
        )
    if selection.code is not None and selection.code not in set(ErrorCode):
        raise OperatorError(
            "CODE_UNKNOWN", f"no error has the code {selection.code!r}", "`receipts dead-letters list` shows the codes"
        )
    for beginning in selection.ids:
        if len(beginning) < LEAST_CHARACTERS:
            raise OperatorError(
                "MESSAGE_ID_INVALID",
                f"{beginning!r} is shorter than {LEAST_CHARACTERS} characters, and would soon name another message",
                f"give more of the id; {LIST}",
            )


def chosen(letters: Sequence[DeadLetter], selection: Selection) -> list[DeadLetter]:
    """The dead letters that are meant, in the order of ``letters``.

    Raises:
        OperatorError: DEAD_LETTER_UNKNOWN, DEAD_LETTER_AMBIGUOUS, and those of ``check``.
    """
    check(selection)
    within = [
        letter
        for letter in letters
        if selection.queue in (None, letter.queue) and selection.code in (None, letter.code)
    ]
    if not selection.ids:
        return within
    wanted = {_named(within, beginning).message_id for beginning in selection.ids}
    return [letter for letter in within if letter.message_id in wanted]


def _named(letters: Iterable[DeadLetter], beginning: str) -> DeadLetter:
    found = [letter for letter in letters if letter.message_id.startswith(beginning.strip().lower())]
    if not found:
        raise OperatorError(
            "DEAD_LETTER_UNKNOWN",
            f"there is no dead letter {beginning!r} now: it was never one, it was taken away, or somebody looks at it",
            f"{LIST}; what somebody else looks at is back within a minute",
        )
    if len(found) > 1:
        raise OperatorError(
            "DEAD_LETTER_AMBIGUOUS",
            f"{len(found)} dead letters begin with {beginning!r}: {', '.join(item.message_id for item in found[:3])}",
            "give more of the id",
        )
    return found[0]


def in_order(letters: Sequence[DeadLetter]) -> list[list[DeadLetter]]:
    """Message groups, the one with the oldest dead letter first; within a group the order in which SQS gave them.

    SQS gives the messages of a group in the order in which they became dead letters, which is the order in which they
    were sent. Messages without a group are a group each.
    """
    groups: dict[tuple[str, str], list[DeadLetter]] = {}
    for letter in letters:
        key = (letter.queue, letter.group_id or f"alone {letter.message_id}")
        groups.setdefault(key, []).append(letter)
    return sorted(groups.values(), key=lambda group: min(letter.sent_at for letter in group))


def destination(letter: DeadLetter, outputs: Mapping[str, Any]) -> str | None:
    """The address of the queue that a dead letter is sent to; None for a failure of the stream, which has none.

    A message that SQS moved says where it came from. One that a consumer put there does not; of the queues of
    `hybrid` it then goes to ``embed``, which always has a consumer.
    """
    queue = QUEUES[letter.queue]
    if queue.destination is None:
        return None
    embed: Collection[str] = outputs["embedQueueUrls"].values() if letter.queue == "embed" else ()
    return next(
        (url for url in embed if letter.source_arn and _name(url) == letter.source_arn.rpartition(":")[2]),
        outputs[queue.destination],
    )


def deduplication_id(letter: DeadLetter) -> str:
    """Of the message that is sent instead of a dead letter on a FIFO queue.

    Not the original's: SQS drops a message whose id it has seen within five minutes. A retry that is repeated because
    the dead letter could not be deleted has the same id, so within that time it is one message. A message that becomes
    a dead letter again is another one, with another id.
    """
    return f"retry-{letter.message_id}"


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1]
