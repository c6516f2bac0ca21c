"""`receipts dead-letters retry` and `discard` on real FIFO queues. A failure here loses a receipt, or its turn."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from ops import cli
from ops.commands import options
from ops.dead_letters import acting, looking
from ops.dead_letters.acting import discard, retry
from ops.dead_letters.deciding import QUEUES, Selection
from ops.dead_letters.looking import look
from ops.local.provisioners.context import client_options
from ops.target import Target
from pipeline.errors import ErrorCode, PermanentError
from pipeline.queues import park
from tests.world import create_queue, create_table

ERROR = PermanentError(ErrorCode.MESSAGE_INVALID, value="v", rule="r", way_out="w")
ALL = Selection(everything=True)


@pytest.fixture
def target(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    outputs: dict[str, Any] = {"tableName": tmp_path.name}
    target = Target(outputs=outputs, client_options=client_options(endpoint), cache_directory=tmp_path)
    create_table(target.dynamodb, tmp_path.name)

    def create(name: str, *, fifo: bool) -> str:
        return create_queue(target.sqs, f"{tmp_path.name[-40:]}-{name}{'.fifo' if fifo else ''}")

    for name, queue in QUEUES.items():
        outputs[queue.output] = create(f"{name}-dead", fifo=queue.fifo)
        if queue.destination:
            outputs[queue.destination] = create(name, fifo=queue.fifo)
    outputs["embedQueueUrls"] = {"embed": outputs["embedQueueUrl"]}
    monkeypatch.setattr(options, "connect", lambda _: target)
    monkeypatch.chdir(tmp_path)
    yield target
    for client in (target.sqs, target.dynamodb):
        client.close()


def dead(target: Target, queue: str, body: str, group: str | None = None) -> None:
    url = target.outputs[QUEUES[queue].output]
    park(target.sqs, url, body, ERROR, group_id=group, message_id=f"of-{body}" if group else None)


def waiting(target: Target, output: str) -> list[dict[str, Any]]:
    """Everything on a queue; it is taken away, so that the next of a group come too."""
    found: list[dict[str, Any]] = []
    url = target.outputs[output]
    while messages := target.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"]
    ).get("Messages", []):
        for message in messages:
            found.append(message)
            target.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def left(target: Target) -> list[str]:
    return sorted(letter.body for letter in look(target).letters)


def run(*words: str, **arguments: Any) -> Result:
    return CliRunner().invoke(cli.application, ["dead-letters", *words], **arguments)


def test_a_retry_sends_the_body_alone_to_its_queue_in_its_group_and_in_order(target):
    for number in range(3):
        dead(target, "embed", f"a{number}", "A")
        dead(target, "embed", f"b{number}", "B")
    dead(target, "ocr-results", "notification")
    dead(target, "lines", "merge", "lines")
    acted = retry(target, ALL)
    assert (len(acted.done), acted.failed) == (8, [])
    assert left(target) == []
    messages = waiting(target, "embedQueueUrl")
    for group, bodies in (("A", ["a0", "a1", "a2"]), ("B", ["b0", "b1", "b2"])):
        assert [item["Body"] for item in messages if item["Attributes"]["MessageGroupId"] == group] == bodies
    assert not any("MessageAttributes" in item for item in messages), "a reason of before would be told again"
    assert [item["Body"] for item in waiting(target, "ocrResultsQueueUrl")] == ["notification"]
    assert [item["Body"] for item in waiting(target, "linesQueueUrl")] == ["merge"]


def test_more_dead_letters_of_one_group_than_sqs_gives_at_once_all_follow_in_order(target):
    bodies = [f"{number:02}" for number in range(23)]
    for body in bodies:
        dead(target, "lines", body, "lines")
    looked = look(target)
    assert len(looked.letters) + looked.unseen.get("lines", 0) == 23
    assert len(retry(target, ALL).done) == 23
    assert [item["Body"] for item in waiting(target, "linesQueueUrl")] == bodies


def test_a_message_that_was_sent_and_not_deleted_is_not_sent_twice(target, monkeypatch):
    dead(target, "embed", "a", "A")
    delete = target.sqs.delete_message

    def fail(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": "no"}}, "DeleteMessage")

    monkeypatch.setattr(target.sqs, "delete_message", fail)
    acted = retry(target, ALL)
    assert (acted.done, [why for _, why in acted.failed]) == (
        [],
        ["An error occurred (ServiceUnavailable) when calling the DeleteMessage operation: no"],
    )
    assert left(target) == ["a"], "it is still there, and visible"
    monkeypatch.setattr(target.sqs, "delete_message", delete)
    assert len(retry(target, ALL).done) == 1
    assert [item["Body"] for item in waiting(target, "embedQueueUrl")] == ["a"]


def test_the_first_that_cannot_be_sent_ends_its_group_and_no_other(target, monkeypatch):
    for body in ("a0", "a1", "b0"):
        dead(target, "embed", body, body[0])
    send = acting.send_batch

    def refuse(client: Any, url: str, messages: Any) -> None:
        if messages[0].body == "a0":
            raise ERROR
        send(client, url, messages)

    monkeypatch.setattr(acting, "send_batch", refuse)
    acted = retry(target, ALL)
    assert [letter.body for letter, _ in acted.done] == ["b0"]
    assert {letter.body for letter, _ in acted.failed} == {"a0"}
    assert left(target) == ["a0", "a1"], "a1 must not overtake a0"


def test_what_takes_longer_than_a_look_hides_it_is_in_nobody_elses_hands(target, monkeypatch):
    for body in "abcd":
        dead(target, "embed", body, body)
    send, seen_by_others = acting.send_batch, []

    def send_slowly(client: Any, url: str, messages: Any) -> None:
        time.sleep(0.8)
        dead_url = target.outputs["embedDeadLetterQueueUrl"]
        seen_by_others.extend(client.receive_message(QueueUrl=dead_url, VisibilityTimeout=0).get("Messages", []))
        send(client, url, messages)

    monkeypatch.setattr(looking, "PEEK_SECONDS", 2)
    monkeypatch.setattr(acting, "RENEWED_SECONDS", 0.5)
    monkeypatch.setattr(acting, "send_batch", send_slowly)
    acted = retry(target, ALL)
    assert (len(acted.done), acted.failed, seen_by_others) == (4, [], [])


def test_what_becomes_a_dead_letter_again_at_once_does_not_keep_the_command_busy(target, monkeypatch):
    dead(target, "embed", "a", "A")
    send, sent = acting.send_batch, []

    def send_and_fail_again(client: Any, url: str, messages: Any) -> None:
        send(client, url, messages)
        sent.append(messages[0].body)
        park(client, target.outputs["embedDeadLetterQueueUrl"], "a", ERROR, group_id="A", message_id=f"again {sent}")

    monkeypatch.setattr(acting, "send_batch", send_and_fail_again)
    assert len(retry(target, ALL).done) == 1
    assert sent == ["a"]


def test_only_what_is_meant_is_sent(target):
    for body in ("a", "b"):
        dead(target, "embed", body, body)
    dead(target, "stream", "record")
    (one,) = [letter.message_id for letter in look(target).letters if letter.body == "a"]
    result = run("retry", one[:8], "--json")
    assert result.exit_code == 0, result.output
    (moved,) = json.loads(result.stdout)["retried"]
    assert (moved["message_id"], moved["destination"]) == (one, target.outputs["embedQueueUrl"])
    assert left(target) == ["b", "record"]


def test_a_record_of_the_stream_is_left_with_a_reason_and_refused_when_it_is_named(target):
    dead(target, "stream", "record")
    dead(target, "words", "merge", "words")
    result = run("retry", "--all", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert [item["queue"] for item in document["retried"]] == ["words"]
    assert ["reconcile --repair" in item["reason"] for item in document["left"]] == [True]
    (letter,) = look(target).letters
    refused = run("retry", letter.message_id)
    assert "NO_DESTINATION" in str(refused.exception)


def test_what_is_discarded_is_in_a_file_first_and_the_others_stay(target, tmp_path):
    for body in ("a", "b"):
        dead(target, "embed", body, body)
    result = run("discard", "--queue", "embed", "--yes", "--output", "gone.jsonl", "--json")
    assert result.exit_code == 0, result.output
    kept = [json.loads(line) for line in (tmp_path / "gone.jsonl").read_text().splitlines()]
    assert [(item["body"], item["code"], item["group_id"]) for item in kept] == [
        ("a", "MESSAGE_INVALID", "a"),
        ("b", "MESSAGE_INVALID", "b"),
    ]
    assert left(target) == []
    again = run("discard", "--queue", "embed", "--yes", "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (0, {"discarded": [], "file": None, "left": []})


def test_nothing_is_deleted_when_nobody_can_be_asked_or_the_file_cannot_be_written(target, tmp_path):
    dead(target, "embed", "a", "A")
    unasked = run("discard", "--all")
    assert "NOT_CONFIRMED" in str(unasked.exception)
    (tmp_path / "there").write_text("mine")
    for file, code in (("there", "OUTPUT_EXISTS"), ("no/such/folder/file", "OUTPUT_UNWRITABLE")):
        refused = run("discard", "--all", "--yes", "--output", file)
        assert code in str(refused.exception)
    assert (tmp_path / "there").read_text() == "mine"
    assert left(target) == ["a"]


def test_what_somebody_took_away_meanwhile_is_told_and_is_in_the_file(target, tmp_path):
    dead(target, "embed", "a", "A")
    letters = look(target).letters
    waiting(target, "embedDeadLetterQueueUrl")
    acted = discard(target, letters, tmp_path / "gone.jsonl")
    assert (acted.done, [why for _, why in acted.failed]) == ([], ["somebody else looks at it, or took it away"])


def test_list_and_show_tell_age_code_receipt_and_destination(target):
    dead(target, "embed", "body", "A")
    listed = json.loads(run("list", "--json").stdout)
    (letter,) = listed["dead_letters"]
    assert (letter["queue"], letter["code"], letter["reason"]) == ("embed", "MESSAGE_INVALID", str(ERROR))
    assert 0 <= letter["age_seconds"] < 60
    shown = json.loads(run("show", letter["message_id"], "--json").stdout)
    assert (shown["body"], shown["destination"]) == ("body", target.outputs["embedQueueUrl"])
    text = run("list").output
    assert "embed" in text
    assert "MESSAGE_INVALID" in text
    assert run("list", "--queue", "words").output.strip() == "no dead letters"
