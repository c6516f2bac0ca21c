"""Every dead letter has a reason that an operator can see. A failure leaves somebody with a message and no why."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from ops.auditing import DEAD_LETTERS
from ops.dead_letters.deciding import QUEUES
from ops.dead_letters.describing import described, receipts_of
from ops.dead_letters.looking import look
from ops.local.provisioners.context import client_options
from ops.target import Target
from pipeline.contracts.identifiers import receipt_folder
from pipeline.contracts.messages import CompactionMessage, EmbedMessage, RunReference
from pipeline.contracts.run import CompactionRun, RunState
from pipeline.errors import ErrorCode, PermanentError
from pipeline.queues import park
from tests.compaction.test_stream_processor import run
from tests.world import TABLE, create_queue, create_table

FOLDER = receipt_folder(UUID(int=1), 1, "0" * 16)
EMBED = EmbedMessage(
    image_id=UUID(int=1),
    receipt_id=1,
    artifacts_bucket="b",
    lines_key=f"{FOLDER}/lines.ndjson",
    words_key=f"{FOLDER}/words.ndjson",
    run_id="0" * 32,
    lines_count=1,
    words_count=1,
    lines_sha256="0" * 64,
    words_sha256="0" * 64,
)
RUNS = [run(number) for number in (1, 2, 3)]
MERGE = CompactionMessage(collection="lines", runs=tuple(item.reference for item in RUNS))


def reason(queue: str, body: str, *runs: CompactionRun) -> str:
    def find(_: Iterable[RunReference]) -> list[CompactionRun]:
        return list(runs)

    letter = described(queue, {"MessageId": "m", "Body": body}, find)
    assert (letter.message_id, letter.code) == ("m", None)
    return letter.reason


def failed_once(item: CompactionRun) -> CompactionRun:
    return item.model_copy(update={"lines": item.lines.model_copy(update={"error": "SERVICE_UNAVAILABLE: DynamoDB"})})


@pytest.mark.parametrize(
    ("queue", "body", "runs", "said"),
    [
        ("embed", EMBED.model_dump_json(), (), "was not embedded, and is when the message is sent again"),
        ("embed", EMBED.model_dump_json(), RUNS[:1], "its run is recorded: nothing is lost"),
        ("embed", "no json", (), "the embed queue's consumer has the reason of each under message id m"),
        ("ocr-results", '{"Records": []}', (), "process_ocr_results has the reason of each under"),
        ("lines", MERGE.model_dump_json(), (), "none of its 3 runs is in the table"),
        ("lines", MERGE.model_dump_json(), [failed_once(RUNS[0])], "1 of its 3 runs are not COMPLETED"),
        ("lines", MERGE.model_dump_json(), [failed_once(RUNS[0])], ": SERVICE_UNAVAILABLE: DynamoDB"),
        (
            "lines",
            MERGE.model_dump_json(),
            [item.in_state("lines", RunState.COMPLETED) for item in RUNS],
            "all of its 3 runs are COMPLETED",
        ),
        (
            "stream",
            json.dumps(
                {
                    "requestContext": {"condition": "RetryAttemptsExhausted"},
                    "DDBStreamBatchInfo": {"batchSize": 3},
                }
            ),
            (),
            "RetryAttemptsExhausted, 3 records",
        ),
        ("stream", "[]", (), "no more is known"),
    ],
)
def test_what_nobody_parked_is_told_by_what_the_table_and_the_log_know(queue, body, runs, said):
    assert said in reason(queue, body, *runs)


NOTIFICATION = {"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": f"ocr/{UUID(int=1)}.json"}}}]}
RECORD = {"dynamodb": {"Keys": {"PK": {"S": f"IMAGE#{UUID(int=1)}"}, "SK": {"S": "RECEIPT#00007#COMPACTION_RUN#r"}}}}


@pytest.mark.parametrize(
    ("queue", "body", "receipts"),
    [
        ("ocr-results", json.dumps(NOTIFICATION), ((str(UUID(int=1)), None),)),
        ("embed", EMBED.model_dump_json(), ((str(UUID(int=1)), 1),)),
        ("lines", MERGE.model_dump_json(), tuple((str(item.image_id), item.receipt_id) for item in RUNS)),
        ("stream", json.dumps(RECORD), ((str(UUID(int=1)), 7),)),
        ("stream", json.dumps({"requestContext": {}}), ()),
        *((queue, body, ()) for queue in QUEUES for body in ("", "[]", "{}", "null", "no json")),
    ],
)
def test_a_dead_letter_names_its_receipts_as_far_as_its_body_does(queue, body, receipts):
    assert receipts_of(queue, body) == receipts


def test_the_short_names_are_those_of_the_five_queues():
    assert {queue.label: queue.output for queue in QUEUES.values()} == DEAD_LETTERS


@pytest.fixture
def target(endpoint: str, tmp_path: Path) -> Iterator[Target]:
    outputs = {"tableName": TABLE}
    target = Target(outputs=outputs, client_options=client_options(endpoint), cache_directory=tmp_path)
    for number, (label, output) in enumerate(DEAD_LETTERS.items()):
        suffix = "" if "stream" in label or "OCR" in label else ".fifo"
        outputs[output] = create_queue(target.sqs, f"q{number}{suffix}")
    create_table(target.dynamodb, TABLE)
    yield target
    target.sqs.close()
    target.dynamodb.close()


def test_a_message_whose_deliveries_were_used_up_and_a_parked_one_are_told_and_stay_where_they_are(target):
    sqs, dead = target.sqs, target.outputs["embedDeadLetterQueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "2"})
    queue = create_queue(sqs, "embed.fifo", RedrivePolicy=policy, VisibilityTimeout="0")
    sent = sqs.send_message(
        QueueUrl=queue, MessageBody=EMBED.model_dump_json(), MessageGroupId="g", MessageDeduplicationId="d"
    )["MessageId"]
    for delivery in range(3):
        received = sqs.receive_message(QueueUrl=queue).get("Messages", [])
        assert bool(received) is (delivery < 2)
    error = PermanentError(ErrorCode.MESSAGE_INVALID, value="v", rule="r", way_out="w")
    park(sqs, dead, "no json", error, group_id="other", message_id="parked")
    for _ in range(2):
        looked = look(target)
        ended, parked = sorted(looked.letters, key=lambda letter: letter.code or "")
        assert looked.unseen == {}
        assert ended.message_id == sent, "the log is found by it"
        assert (ended.code, ended.source_arn) == (None, f"{arn.rpartition(':')[0]}:embed.fifo")
        assert f"receipt 1 of image {UUID(int=1)} was not embedded" in ended.reason
        assert sent in ended.reason
        assert (parked.code, parked.reason, parked.source_arn) == ("MESSAGE_INVALID", str(error), None)
        assert {ended.queue, parked.queue} == {"embed"}
