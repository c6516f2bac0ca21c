"""Sends dead letters again, or deletes them with a copy on disk. ``deciding`` says which ones, and in what order.

A dead letter is deleted after its message was sent, or after its copy is on the disk: a command that is killed in
between leaves it where it is, and it can be sent or deleted again.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from ops.dead_letters.deciding import QUEUES, Selection, check, chosen, deduplication_id, destination, in_order
from ops.dead_letters.describing import DeadLetter, as_document, described
from ops.dead_letters.looking import hide_longer, look, receive, show_again
from ops.errors import OperatorError
from ops.failures import reason
from ops.target import Target
from pipeline.errors import PipelineError
from pipeline.queues import OutgoingMessage, send_batch

RENEWED_SECONDS = 20
"""Seconds after which the rest is hidden again: a thousand dead letters take longer than one look hides them."""
NO_QUEUE = (
    "it came from the table's stream and no queue takes it; `receipts reconcile --repair` drives what it announced"
)


@dataclass(kw_only=True)
class Acted:
    """What was done.

    Attributes:
        done: dead letters with the address that each was sent to; None for one that was only deleted.
        failed: dead letters with the reason why each is still there.
    """

    done: list[tuple[DeadLetter, str | None]] = field(default_factory=list)
    failed: list[tuple[DeadLetter, str]] = field(default_factory=list)


def retry(target: Target, selection: Selection, on_done: Callable[[int], object] = id) -> Acted:
    """Send dead letters to the queues that they came from, the oldest first, and delete them.

    Of a message group that holds more than SQS gives at once the rest follows when the first are gone.

    Args:
        target: the stack.
        selection: which.
        on_done: called with how many are done.

    Raises:
        OperatorError: NO_DESTINATION for one that was named, and those of ``deciding.chosen``.
    """
    check(selection)
    acted = Acted()
    while True:
        sent = {_content(letter) for letter, _ in acted.done}
        seen = chosen(look(target, queues_of(selection)).letters, selection)
        # What came back at once is a dead letter again, and would come back for ever.
        wanted = [letter for letter in seen if _content(letter) not in sent]
        without = [letter for letter in wanted if destination(letter, target.outputs) is None]
        if without and selection.ids:
            raise OperatorError(
                "NO_DESTINATION",
                f"dead letter {without[0].message_id} cannot be sent again: {NO_QUEUE}",
                "mend what its reason names, then discard it",
            )
        acted.failed = [(letter, NO_QUEUE) for letter in without]
        before = len(acted.done)
        _act(target, [letter for letter in wanted if letter not in without], _send_again, acted, on_done)
        if len(acted.done) == before or selection.ids:
            return acted


def _content(letter: DeadLetter) -> tuple[str, str | None, str]:
    return letter.queue, letter.group_id, letter.body


def discard(target: Target, letters: Sequence[DeadLetter], file: Path, on_done: Callable[[int], object] = id) -> Acted:
    """Write dead letters to a new file, then delete them.

    Args:
        target: the stack.
        letters: which, as they were seen; one that changed hands meanwhile is left.
        file: a JSON line is written for each.
        on_done: called with how many are done.

    Raises:
        OperatorError: OUTPUT_EXISTS, OUTPUT_UNWRITABLE; nothing was deleted.
    """
    now = datetime.now(UTC)
    try:
        with file.open("x", encoding="utf-8") as output:
            for letter in letters:
                output.write(json.dumps(as_document(letter, now, whole=True), ensure_ascii=False) + "\n")
            output.flush()
            os.fsync(output.fileno())
    except FileExistsError as error:
        raise OperatorError(
            "OUTPUT_EXISTS", f"{file} is there already, and is not written over", "give another name with --output"
        ) from error
    except OSError as error:
        raise OperatorError(
            "OUTPUT_UNWRITABLE", f"{file}: {error.strerror}; nothing was deleted", "give another file with --output"
        ) from error
    acted = Acted()
    _act(target, letters, lambda *_: None, acted, on_done)
    return acted


def _act(
    target: Target,
    letters: Sequence[DeadLetter],
    first: Callable[[Target, DeadLetter], str | None],
    acted: Acted,
    on_done: Callable[[int], object],
) -> None:
    """Receive these dead letters once more, do what comes first with each, then delete it; the others are shown again.

    The first that fails ends its message group: what comes after it must not overtake it.
    """
    for queue in dict.fromkeys(letter.queue for letter in letters):
        wanted = {letter.message_id for letter in letters if letter.queue == queue}
        url = target.outputs[QUEUES[queue].output]
        received = [described(queue, message, lambda _: []) for message in receive(target, url)]
        kept = {letter.message_id: letter for letter in received}
        hidden_at = time.monotonic()
        try:
            for group in in_order([letter for letter in received if letter.message_id in wanted]):
                for letter in group:
                    try:
                        if time.monotonic() - hidden_at >= RENEWED_SECONDS:
                            hide_longer(target, url, [other.receipt_handle for other in kept.values()])
                            hidden_at = time.monotonic()
                        sent_to = first(target, letter)
                        target.sqs.delete_message(QueueUrl=url, ReceiptHandle=letter.receipt_handle)
                    except (PipelineError, ClientError, BotoCoreError) as error:
                        acted.failed.append((letter, reason(error)))
                        break
                    del kept[letter.message_id]
                    acted.done.append((letter, sent_to))
                    on_done(len(acted.done))
            there = {letter.message_id for letter in received}
            acted.failed += [
                (letter, "somebody else looks at it, or took it away")
                for letter in letters
                if letter.queue == queue and letter.message_id not in there
            ]
        finally:
            show_again(target, url, [letter.receipt_handle for letter in kept.values()])


def _send_again(target: Target, letter: DeadLetter) -> str:
    url = destination(letter, target.outputs)
    assert url is not None  # noqa: S101 - those without a destination are left out before
    if letter.group_id is None:
        target.sqs.send_message(QueueUrl=url, MessageBody=letter.body)
        return url
    message = OutgoingMessage(body=letter.body, group_id=letter.group_id, deduplication_id=deduplication_id(letter))
    send_batch(target.sqs, url, [message])
    return url


def queues_of(selection: Selection) -> list[str]:
    """The queues that a selection may have something on."""
    return [queue for queue in QUEUES if selection.queue in (None, queue)]
