"""Which dead letters an operator means, and where they go. A failure deletes the wrong one, or turns receipts round."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.dead_letters.deciding import Selection, chosen, deduplication_id, destination, in_order
from ops.dead_letters.describing import DeadLetter
from ops.errors import OperatorError

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
OUTPUTS = {
    "embedQueueUrl": "https://sqs/1/embed.fifo",
    "embedQueueUrls": {"embed": "https://sqs/1/embed.fifo", "embed-ecs": "https://sqs/1/embed-ecs.fifo"},
    "ocrResultsQueueUrl": "https://sqs/1/ocr",
    "linesQueueUrl": "https://sqs/1/lines.fifo",
    "wordsQueueUrl": "https://sqs/1/words.fifo",
}


def letter(message_id: str, queue: str = "embed", minutes: float = 0, **fields: Any) -> DeadLetter:
    plain: dict[str, Any] = {"code": None, "reason": "", "receipts": (), "body": message_id}
    return DeadLetter(message_id=message_id, queue=queue, sent_at=NOON + timedelta(minutes=minutes), **plain | fields)


LETTERS = (
    letter("aaaa1111"),
    letter("aaaa2222", code="MESSAGE_INVALID"),
    letter("bbbb3333", queue="lines", code="MESSAGE_INVALID"),
)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(everything=True), {"aaaa1111", "aaaa2222", "bbbb3333"}),
        (Selection(ids=("bbbb",)), {"bbbb3333"}),
        (Selection(ids=("BBBB3333", "aaaa1")), {"aaaa1111", "bbbb3333"}),
        (Selection(queue="embed"), {"aaaa1111", "aaaa2222"}),
        (Selection(code="MESSAGE_INVALID"), {"aaaa2222", "bbbb3333"}),
        (Selection(code="MESSAGE_INVALID", queue="lines"), {"bbbb3333"}),
        (Selection(ids=("aaaa",), code="MESSAGE_INVALID"), {"aaaa2222"}),
        (Selection(queue="words", everything=True), set()),
    ],
)
def test_a_selection_means_what_all_its_parts_allow(selection, expected):
    assert {item.message_id for item in chosen(LETTERS, selection)} == expected


@pytest.mark.parametrize(
    ("selection", "code"),
    [
        (Selection(), "SELECTION_EMPTY"),
        (Selection(code="MESSAGE_INVLID"), "CODE_UNKNOWN"),
        (Selection(ids=("",)), "MESSAGE_ID_INVALID"),
        (Selection(ids=("aaa",)), "MESSAGE_ID_INVALID"),
        (Selection(ids=("aaaa",)), "DEAD_LETTER_AMBIGUOUS"),
        (Selection(ids=("cccc",)), "DEAD_LETTER_UNKNOWN"),
        (Selection(ids=("bbbb3333", "cccc")), "DEAD_LETTER_UNKNOWN"),
        (Selection(ids=("bbbb3333",), queue="embed"), "DEAD_LETTER_UNKNOWN"),
    ],
)
def test_what_names_none_or_several_is_refused(selection, code):
    with pytest.raises(OperatorError) as refused:
        chosen(LETTERS, selection)
    assert refused.value.code == code


def test_the_group_with_the_oldest_comes_first_and_a_group_keeps_the_order_in_which_it_was_received():
    received = [
        letter("late", minutes=5, group_id="one"),
        letter("first", minutes=3, group_id="two"),
        # Moved by SQS: its time is that of its first sending, which says nothing about its place.
        letter("second", minutes=1, group_id="two"),
        letter("later", minutes=6, group_id="one"),
        letter("alone", queue="ocr-results", minutes=4),
        letter("oldest alone", queue="ocr-results", minutes=0),
    ]
    assert [[item.message_id for item in group] for group in in_order(received)] == [
        ["oldest alone"],
        ["first", "second"],
        ["alone"],
        ["late", "later"],
    ]


@pytest.mark.parametrize(
    ("queue", "source", "expected"),
    [
        ("embed", None, "embed.fifo"),
        ("embed", "arn:aws:sqs:eu-central-1:1:embed-ecs.fifo", "embed-ecs.fifo"),
        # Of an update that left `hybrid` since.
        ("embed", "arn:aws:sqs:eu-central-1:1:embed-lambda.fifo", "embed.fifo"),
        ("ocr-results", None, "ocr"),
        ("lines", None, "lines.fifo"),
        ("words", "arn:aws:sqs:eu-central-1:1:words.fifo", "words.fifo"),
    ],
)
def test_a_retry_goes_to_the_queue_that_the_message_came_from(queue, source, expected):
    assert destination(letter("m", queue=queue, source_arn=source), OUTPUTS) == f"https://sqs/1/{expected}"


def test_a_failure_of_the_stream_came_from_no_queue():
    assert destination(letter("m", queue="stream"), OUTPUTS) is None


def test_a_repeated_retry_has_the_same_id_and_another_dead_letter_of_the_same_message_has_another():
    first = letter("m-1", group_id="g")
    assert deduplication_id(first) == deduplication_id(replace(first, receipt_handle="of another delivery"))
    assert deduplication_id(first) != deduplication_id(replace(first, message_id="m-2"))
