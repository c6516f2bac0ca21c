"""What crosses a boundary of stages 1 and 2. A failure here ends the work on good messages because of a bad one."""

import io
import itertools
import json
import logging
from collections.abc import Callable
from email.message import Message
from typing import Any
from urllib.error import HTTPError

import pytest

from compaction_worker import __main__ as entry_point
from compaction_worker import worker as worker_module
from compaction_worker.held import HeldMessages
from compaction_worker.protection import TaskProtection
from compaction_worker.stopping import StopRequest
from pipeline.calls import call_error
from pipeline.embedding.recording import RunRecorder
from pipeline.embedding.work import Disposition
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.objects import ObjectStore
from tests.stages.anything import ERRORS, TEXTS, refusal
from tests.stages.embedding_world import DEAD_LETTERS, dispositions
from tests.stages.ocr_results import BUCKET, EMBED_QUEUE, document, notification, receipt
from tests.stages.ocr_results import DEAD_LETTERS as OCR_DEAD_LETTERS
from tests.stages.polling_worker import PolledQueue, run
from tests.stages.prepared_core import PreparedCore, held_message, message
from tests.stages.test_held import Queue

by_type = pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__}-{error}"[:40])


def shown(text: str) -> str:
    return f"{text[:30]}-{len(text)}"


# Stage 1. One stack for many inputs: to make one takes longer than the test.


def test_whatever_is_raised_for_one_document_its_neighbour_is_processed(processor, s3, queues, monkeypatch):
    for key in ("bad", "good"):
        s3.put_object(Bucket=BUCKET, Key=f"ocr/{key}.json", Body=document(receipt(1, (key,))))
    for error, where in itertools.product(ERRORS, ("get", "put_if_absent")):
        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, where, raising_first(error, getattr(ObjectStore, where)))
            answer = processor.process([notification("ocr/bad.json", "bad"), notification("ocr/good.json", "good")])
        case = f"{error!r} by {where}"
        assert len(queues.to(EMBED_QUEUE)) == 1, case
        parked = queues.to(OCR_DEAD_LETTERS)
        assert len(parked) == isinstance(error, PermanentError), case
        assert answer == {"batchItemFailures": [] if parked else [{"itemIdentifier": "bad"}]}, case
        queues.sent.clear()


def raising_first(error: Exception, original: Callable[..., Any]) -> Callable[..., Any]:
    """The original, but for its first call."""
    raised: list[Exception] = []

    def call(*arguments: Any, **named: Any) -> Any:
        if not raised:
            raised.append(error)
            raise error
        return original(*arguments, **named)

    return call


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


def test_a_document_that_cannot_be_parked_stays_on_its_queue(processor, queues, monkeypatch):
    for error in ERRORS:
        monkeypatch.setattr(queues, "send_message", raising(error))
        answer = processor.process([{"messageId": "m", "body": "no json", "attributes": {}}])
        assert answer == {"batchItemFailures": [{"itemIdentifier": "m"}]}, repr(error)


def test_whatever_a_notification_says_it_is_parked_with_a_reason(processor, s3, queues):
    s3.put_object(Bucket=BUCKET, Key="ocr/good.json", Body=document(receipt()))
    for body in TEXTS:
        bad = {"messageId": "bad", "body": body, "attributes": {}}
        assert processor.process([bad, notification("ocr/good.json")]) == {"batchItemFailures": []}, shown(body)
        (parked,) = queues.to(OCR_DEAD_LETTERS)
        assert parked["MessageAttributes"]["error_code"]["StringValue"]
        assert parked["MessageAttributes"]["reason"]["StringValue"].isprintable()
        assert len(queues.to(EMBED_QUEUE)) == 1
        queues.sent.clear()


def test_whatever_a_document_holds_it_is_parked_with_a_reason(processor, s3, queues):
    for content in TEXTS:
        s3.put_object(Bucket=BUCKET, Key="ocr/bad.json", Body=content.encode("utf-8", "surrogatepass"))
        assert processor.process([notification("ocr/bad.json")]) == {"batchItemFailures": []}, shown(content)
        (parked,) = queues.to(OCR_DEAD_LETTERS)
        assert parked["MessageAttributes"]["error_code"]["StringValue"] == "OCR_DOCUMENT_INVALID"
        queues.sent.clear()


@pytest.mark.parametrize(
    ("key", "announced"), [("ocr/a\nb.json", "ocr/a%0Ab.json"), ("ocr/é 東.json", "ocr/%C3%A9+%E6%9D%B1.json")]
)
def test_a_document_whose_key_has_a_line_break_or_a_letter_of_another_script_is_processed(
    processor, s3, queues, key, announced
):
    s3.put_object(Bucket=BUCKET, Key=key, Body=document(receipt()))
    assert processor.process([notification(announced)]) == {"batchItemFailures": []}
    assert len(queues.to(EMBED_QUEUE)) == 1


# Stage 2: the core, which both hosts have.


@pytest.mark.parametrize(("place", "name"), [(ObjectStore, "get"), (RunRecorder, "look"), (RunRecorder, "record")])
def test_whatever_is_raised_for_one_message_its_neighbour_is_embedded(world, monkeypatch, place, name):
    original = getattr(place, name)
    for number, error in enumerate(ERRORS):
        bad, good = world.message(2 * number + 1, ("bad",)), world.message(2 * number + 2, ("good",))

        def raises(self: Any, *arguments: Any, bad: Any = bad, error: Exception = error) -> Any:
            asked = arguments[1] if place is ObjectStore else getattr(arguments[0], "message", arguments[0])
            if asked in (bad, bad.lines_key):
                raise error
            return original(self, *arguments)

        monkeypatch.setattr(place, name, raises)
        found = dispositions(world, world.incoming(bad, "bad"), world.incoming(good, "good"))
        assert found == [_end(error), Disposition.EMBEDDED], repr(error)


def test_whatever_one_receipt_makes_the_embedder_raise_the_others_are_embedded(world, monkeypatch):
    original = type(world.embedder).embed
    # A retryable error is the service's and not a receipt's: all messages of the request come back.
    errors = [error for error in ERRORS if not isinstance(error, RetryableError)]
    for number, error in enumerate(errors):

        def raises(self: Any, texts: Any, error: Exception = error) -> Any:
            if "bad" in texts:
                raise error
            return original(self, texts)

        monkeypatch.setattr(type(world.embedder), "embed", raises)
        texts = ("good 1", "bad", "good 2")
        messages = [world.message(3 * number + place, (text,)) for place, text in enumerate(texts, 1)]
        found = dispositions(world, *(world.incoming(item, f"m{n}") for n, item in enumerate(messages)))
        assert found == [Disposition.EMBEDDED, _end(error), Disposition.EMBEDDED], repr(error)


def _end(error: Exception) -> Disposition:
    return Disposition.PARKED if isinstance(error, PermanentError) else Disposition.RETRY


def test_a_message_that_cannot_be_parked_comes_back(world, monkeypatch):
    for number, error in enumerate(ERRORS, 1):
        monkeypatch.setattr(world.queues, "send_message", raising(error))
        found = dispositions(world, world.incoming("no json", "bad"), world.incoming(world.message(number)))
        assert found == [Disposition.RETRY, Disposition.EMBEDDED], repr(error)


def test_whatever_a_message_says_it_is_parked_with_a_reason(world):
    for body in TEXTS:
        assert dispositions(world, world.incoming(body)) == [Disposition.PARKED], shown(body)
        (parked,) = world.queues.to(DEAD_LETTERS)
        assert parked["MessageBody"] == body
        assert parked["MessageAttributes"]["error_code"]["StringValue"]
        world.queues.sent.clear()


@pytest.mark.parametrize(("bucket", "key"), [("a b", "k"), ("", "k"), (BUCKET, "")])
def test_a_bucket_or_a_key_that_cannot_exist_is_permanent(s3, bucket, key):
    objects = ObjectStore(s3)
    for call in (
        lambda: objects.get(bucket, key),
        lambda: objects.put_if_absent(bucket, key, b"x", "text/plain"),
    ):
        with pytest.raises(PermanentError):
            call()


# A dead letter.


def test_a_message_that_is_parked_redriven_and_parked_again_is_two_dead_letters(world):
    """SQS drops a second message with the same deduplication id for five minutes, and the original is deleted."""
    for message_id in ("first", "first", "redriven"):
        world.core.process([world.incoming("no json", message_id)])
    identities = [parked["MessageDeduplicationId"] for parked in world.queues.to(DEAD_LETTERS)]
    assert identities == ["first", "first", "redriven"], "a redelivery is the same dead letter, a redrive another"


# Passing or permanent.


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refusal("ValidationException"), ErrorCode.REQUEST_INVALID),
        (
            refusal(
                "TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": "ValidationError"}]
            ),
            ErrorCode.REQUEST_INVALID,
        ),
        (
            refusal("TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}]),
            ErrorCode.SERVICE_UNAVAILABLE,
        ),
        (refusal("InvalidBucketName"), ErrorCode.REQUEST_INVALID),
        (refusal("KeyTooLongError"), ErrorCode.REQUEST_INVALID),
        (refusal("AccessDenied"), ErrorCode.SERVICE_UNAVAILABLE),
        (refusal("ExpiredToken"), ErrorCode.SERVICE_UNAVAILABLE),
        (refusal("ThrottlingException"), ErrorCode.SERVICE_UNAVAILABLE),
    ],
)
def test_only_a_request_that_can_never_succeed_is_permanent(error, code):
    found = call_error(error, "DynamoDB")
    assert found.code is code
    assert isinstance(found, PermanentError) is (code is ErrorCode.REQUEST_INVALID)


def test_a_run_that_does_not_fit_into_an_item_is_parked_at_its_first_delivery(world, monkeypatch):
    error = refusal("TransactionCanceledException", CancellationReasons=[{"Code": "ValidationError"}, {"Code": "None"}])
    calls: list[Any] = []

    def refuses(**arguments: Any) -> None:
        calls.append(arguments)
        raise error

    monkeypatch.setattr(world.dynamodb, "transact_write_items", refuses)
    assert dispositions(world, world.incoming(world.message())) == [Disposition.PARKED]
    assert len(calls) == 1
    assert world.queues.to(DEAD_LETTERS)[0]["MessageAttributes"]["error_code"]["StringValue"] == "REQUEST_INVALID"


# The worker.


@by_type
@pytest.mark.parametrize("call", ["delete", "release"])
def test_whatever_sqs_does_when_messages_are_given_up_nothing_is_raised(error, call):
    queue = Queue(error=error)
    with HeldMessages(queue, "https://sqs/q", 60) as held:
        held.hold([held_message(1)])
        getattr(held, call)([held_message(1)])
        assert len(held) == 0


@by_type
def test_whatever_a_receive_raises_the_worker_goes_on_or_ends_with_a_code_and_nothing_held(
    environment, no_pause, error, monkeypatch
):
    queue = PolledQueue([[message(1)], [], []], StopRequest())
    original, calls = queue.receive_message, []

    def raises_second(**call: Any) -> Any:
        calls.append(call)
        if len(calls) == 2:
            raise error
        return original(**call)

    monkeypatch.setattr(queue, "receive_message", raises_second)
    code = run(environment, queue, PreparedCore())
    assert code in worker_module.EXIT_MEANINGS
    assert queue.deleted == ["r1"] or queue.visibilities == [("r1", 0)]


@by_type
def test_whatever_the_guard_raises_what_was_received_is_given_back(environment, no_pause, error, monkeypatch):
    queue = PolledQueue([[message(1)], [], []], StopRequest(), poll_seconds=5.0)
    looks: list[int] = []

    def raises_second(*_: Any, **__: Any) -> None:
        looks.append(1)
        if len(looks) == 2:
            raise error

    monkeypatch.setattr(worker_module.Fence, "require_clear", raises_second)
    code = run(environment, queue, PreparedCore())
    assert code in worker_module.EXIT_MEANINGS
    assert queue.visibilities == [("r1", 0)]


@by_type
def test_a_worker_that_cannot_start_says_why_by_its_exit_code(monkeypatch, error, caplog):
    def raises() -> None:
        raise error

    monkeypatch.setattr(entry_point, "build", raises)
    monkeypatch.setattr("pipeline.logs.configure_logging", lambda: None)
    expected = worker_module.EXIT_MISCONFIGURED if isinstance(error, PermanentError) else worker_module.EXIT_BROKEN
    assert entry_point.main() == expected
    assert caplog.records


# Task protection.


class Agent:
    """ECS's agent with one answer."""

    def __init__(self, content: bytes, status: int = 200, error: Exception | None = None) -> None:
        self.content, self.status, self.error = content, status, error

    def open(self, request: Any, timeout: float) -> io.BytesIO:
        if self.error is not None:
            raise self.error
        if self.status != 200:
            raise HTTPError(request.full_url, self.status, "refused", Message(), io.BytesIO(self.content))
        return io.BytesIO(self.content)


def protect(monkeypatch: pytest.MonkeyPatch, agent: Agent) -> TaskProtection:
    monkeypatch.setattr("urllib.request.urlopen", agent.open)
    return TaskProtection("http://agent")


@pytest.mark.parametrize("status", [200, 400, 404, 429, 500])
@pytest.mark.parametrize("content", TEXTS, ids=shown)
def test_whatever_ecs_answers_the_worker_works_on_and_says_that_it_is_not_protected(
    monkeypatch, caplog, content, status
):
    accepted = status == 200 and content.startswith("{") and not {"error", "failure"} & set(json_object(content))
    caplog.set_level(logging.WARNING)
    protection = protect(monkeypatch, Agent(content.encode("utf-8", "surrogatepass"), status))
    assert protection.set(True) is True
    assert ("not protected" in caplog.text) is not accepted


def json_object(content: str) -> dict[str, Any]:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return {"error": None}


@by_type
def test_whatever_is_raised_when_ecs_is_asked_the_worker_works_on(monkeypatch, caplog, error):
    assert protect(monkeypatch, Agent(b"", error=error)).set(True) is True
    assert "not protected" in caplog.text


@pytest.mark.parametrize("status", [200, 400])
def test_a_task_that_is_not_wanted_is_told_so_with_any_status(monkeypatch, status):
    for answer in ({"failure": {"Reason": "DEPLOYMENT_BLOCKED"}}, {"error": {"Code": "DEPLOYMENT_BLOCKED"}}):
        assert protect(monkeypatch, Agent(json.dumps(answer).encode(), status)).set(True) is False
