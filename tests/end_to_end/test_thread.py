"""From an OCR result to a searchable collection, with both consumers and a flip in the middle.

A failure here means that receipts are lost, searched in vain, or embedded by the wrong consumer.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner

from ops import cli
from ops.commands import options
from ops.console import Output
from ops.importers import read_documents
from ops.local.stack import LocalStack
from ops.operations import correct, remove, repository
from ops.page.serving import SERVICE as PAGE
from ops.page.serving import open_page
from ops.pictures import upload_picture, wait_until_read
from ops.published import published_version
from ops.reconciling.procedure import run_reconcile
from ops.rendering import encode, render
from ops.reporting import stack_status
from ops.searching import search
from ops.stacks.local import local_target
from ops.stacks.local_view import LocalView
from ops.submitting import UploadedDocument, upload
from ops.target import OperatorError, Target
from ops.waiting import require_complete, wait_for_runs, wait_until_searchable
from ops.watching.gathering import Watcher
from pipeline.collections.receipts import ReceiptKey
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun
from tests.pictures import files

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
WAIT_SECONDS = 240.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(tmp_path_factory.mktemp("stack")) as running:
        running.up({"embedConsumer": "lambda"})
        yield running
        running.down(destroy=True)


def switch(stack: LocalStack, consumer: str) -> Target:
    stack.up({"embedConsumer": consumer})
    return local_target(stack)


def samples(*names: str) -> list[tuple[str, bytes]]:
    return [item for name in names for item in read_documents(SAMPLES / f"{name}.json")]


def process(target: Target, documents: list[tuple[str, bytes]]) -> list[UploadedDocument]:
    uploaded = [upload(target, name, content) for name, content in documents]
    result = wait_until_searchable(target, uploaded, timeout_seconds=WAIT_SECONDS)
    assert result.is_complete, result
    return uploaded


def process_picture(target: Target) -> UploadedDocument:
    picture = upload_picture(target, "photo.png", encode(files.receipt()))
    (read,) = wait_until_read(target, [picture], timeout_seconds=WAIT_SECONDS)
    (document,) = read.documents
    result = wait_until_searchable(target, [document], timeout_seconds=WAIT_SECONDS)
    assert result.is_complete, result
    return document


def eventually(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.3)
    return value


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def depth(target: Target, queue: str) -> int:
    return next(item["visible"] for item in stack_status(target)["queues"] if item["name"] == queue)


def parked(target: Target, output: str) -> list[dict[str, Any]]:
    answer = target.sqs.receive_message(
        QueueUrl=target.outputs[output], MessageAttributeNames=["All"], MaxNumberOfMessages=10
    )
    return answer.get("Messages", [])


def follow(target: Target, reference: RunReference) -> None:
    require_complete(wait_for_runs(target, [reference], timeout_seconds=WAIT_SECONDS))


def consumers_of(target: Target, uploaded: list[UploadedDocument]) -> set[str]:
    result = wait_until_searchable(target, uploaded, timeout_seconds=1)
    return {run.consumer for run in result.completed}


def test_receipts_embedded_by_lambda_are_searchable(stack):
    target = local_target(stack)
    uploaded = process(target, samples("greenleaf-1", "boulangerie-1", "hardware-1"))
    assert consumers_of(target, uploaded) == {"lambda"}
    assert all(run.uploaded_at for run in wait_until_searchable(target, uploaded, timeout_seconds=1).completed)
    nearest = search(target, "GREENLEAF MARKET", collection="lines", limit=1).matches[0]
    assert nearest["text"] == "GREENLEAF MARKET"
    assert nearest["distance"] == pytest.approx(0, abs=1e-5)
    assert search(target, "TOTAL", collection="words", limit=3).matches


def test_a_picture_is_enough_to_be_found_with_the_place_of_the_hit(stack):
    target = local_target(stack)
    document = process_picture(target)
    image = str(document.runs[0].image_id)
    (match,) = search(target, "Masking tape", collection="lines", limit=1, image=image).matches
    assert match["text"].startswith("Masking tape wide")
    # The fifth of eight lines, beginning at the left margin.
    assert match["y"] == pytest.approx((60 + 4 * 48) / (2 * 60 + 8 * 48), abs=0.03)
    assert match["x"] == pytest.approx(60 / 900, abs=0.02)
    # Those that were embedded before know the merchant.
    assert match["merchant_name"] == "HOLLOW OAK HARDWARE"


def test_pictures_and_ocr_results_are_uploaded_by_one_command_and_a_bad_one_harms_no_other(
    stack, monkeypatch, tmp_path
):
    target = local_target(stack)
    monkeypatch.setattr(options, "connect", lambda _: target)
    for name, content in {
        "good.png": encode(render(files.OTHER_TEXTS)),
        "blank.jpg": encode(files.blank(), "JPEG"),
        "text.jpg": b"this is a text",
        "two.png": encode(files.side_by_side()),
        "greenleaf-long.json": (SAMPLES / "greenleaf-long.json").read_bytes(),
    }.items():
        (tmp_path / name).write_bytes(content)
    result = CliRunner().invoke(cli.application, ["upload", str(tmp_path), "--json"])
    assert result.exit_code == 1, result.output
    said = json.loads(result.stdout)
    assert len(said["pictures"]) == len(said["read"]) == 3
    assert len(said["uploaded"]) == 3
    # Two of them are side by side on one picture.
    assert len(said["searchable"]) == 4
    assert said["failed"] == said["missing"] == []
    refused = sorted(reason.split(":")[0] for reason in said["refused"])
    assert refused == ["PICTURE_UNREADABLE", "PICTURE_WITHOUT_TEXT"]
    remarks = [remark for picture in said["read"] for remark in picture["remarks"]]
    assert ["2 receipts side by side" in remark for remark in remarks] == [True]
    (dead,) = eventually(lambda: parked(target, "picturesDeadLetterQueueUrl"))
    assert dead["MessageAttributes"]["error_code"]["StringValue"] == "PICTURE_WITHOUT_TEXT"


def test_a_flip_in_the_middle_loses_nothing_and_repeats_nothing(stack):
    target = switch(stack, "none")
    waiting = [upload(target, name, content) for name, content in samples("greenleaf-2", "boulangerie-2")]
    eventually(lambda: depth(target, "embed") == 2)
    target = switch(stack, "ecs")
    result = wait_until_searchable(target, waiting, timeout_seconds=WAIT_SECONDS)
    assert result.is_complete, result
    assert {run.consumer for run in result.completed} == {"ecs"}
    assert {(run.merchant_name, run.merchant_source) for run in result.completed} == {
        ("GREENLEAF MARKET", "resolved"),
        ("BOULANGERIE DU VIEUX MOULIN", "resolved"),
    }
    status = stack_status(target)
    assert status["consumer"] == {
        "chosen": "ecs",
        "mapping_state": "Disabled",
        "desired_count": 1,
        "running_count": 1,
    }
    target = switch(stack, "lambda")
    later = process(target, samples("mueller-1"))
    assert consumers_of(target, later) == {"lambda"}
    assert stack_status(target)["consumer"]["desired_count"] == 0


def test_the_live_view_sees_who_worked_and_what_is_on(stack):
    target = local_target(stack)
    with Watcher(LocalView(stack)) as watcher:
        seen = watcher.look()
    assert [(host.kind, host.standing) for host in seen.hosts] == [("lambda", "on"), ("ecs", "off")]
    assert seen.spans is not None
    assert {"Lambda function", "merge"} <= {span.lane for span in seen.spans}
    assert seen.runs is not None
    assert seen.runs.by_consumer == stack_status(target)["runs_by_consumer"]


def test_the_page_is_served_by_the_stack_once_and_shows_it(stack):
    address = open_page(stack)
    assert open_page(stack) == address
    assert len(stack.status()["services"][PAGE]) == 1
    with httpx.Client(base_url=address, timeout=30) as client:
        html = client.get("/").text
        assert "Stack local" in html
        assert "GREENLEAF MARKET" in html
        assert "<mark>GREENLEAF MARKET</mark>" in client.get("/search?q=greenleaf").text
        with client.stream("GET", "/events") as events:
            assert next(events.iter_lines()) == "event: parts"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(OperatorError, match="PORT_TAKEN"):
            open_page(stack, other.getsockname()[1])


def test_a_document_uploaded_twice_is_embedded_once(stack):
    target = local_target(stack)
    (document,) = process(target, samples("sakura-1"))
    process(target, samples("sakura-1"))
    run = document.runs[0]

    def all_completed() -> list[CompactionRun] | None:
        runs = repository(target).of_receipt(run.image_id, run.receipt_id)
        return runs if len(runs) == 2 and all(item.is_completed for item in runs) else None

    first, again = eventually(all_completed)
    # The second upload is an event of its own; nothing is embedded for it.
    assert (again.delta_run_id, again.content_id) == (first.run_id, first.run_id)


def test_bad_input_is_parked_with_its_reason_and_its_neighbour_goes_through(stack):
    target = local_target(stack)
    target.s3.put_object(Bucket=target.outputs["artifactsBucket"], Key="ocr/bad.json", Body=b'{"image_id": 5}')
    process(target, samples("mueller-2"))
    (document,) = eventually(lambda: parked(target, "ocrResultsDeadLetterQueueUrl"))
    assert document["MessageAttributes"]["error_code"]["StringValue"] == "OCR_DOCUMENT_INVALID"
    future = json.dumps({"version": "9.0"})
    target.sqs.send_message(
        QueueUrl=target.outputs["embedQueueUrl"],
        MessageBody=future,
        MessageGroupId="future",
        MessageDeduplicationId=str(uuid4()),
    )
    (message,) = eventually(lambda: parked(target, "embedDeadLetterQueueUrl"))
    assert message["MessageAttributes"]["error_code"]["StringValue"] == "VERSION_UNSUPPORTED"
    assert message["Body"] == future


def test_a_receipt_is_corrected_removed_and_uploaded_again(stack):
    target = local_target(stack)
    (document,) = process(target, samples("hardware-1"))
    run = document.runs[0]
    receipt = ReceiptKey(str(run.image_id), run.receipt_id)

    def merchants() -> set[str]:
        matches = search(target, "hardware", collection="lines", limit=100).matches
        return {match["merchant_name"] for match in matches if match["image_id"] == receipt.image_id}

    follow(target, correct(target, receipt, "CORRECTED"))
    assert merchants() == {"CORRECTED"}
    follow(target, remove(target, receipt))
    assert merchants() == set()
    process(target, samples("hardware-1"))
    assert len(merchants()) == 1
    assert merchants() != {"CORRECTED"}


def test_runs_deltas_and_vectors_agree_after_all_that(stack):
    document = run_reconcile(Output(as_json=True), local_target(stack), mend=False, timeout_seconds=0)
    assert document["findings"] == []
    assert all(item["rows"] for item in document["collections"])


def command(target: Target, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """What ``receipts WORDS --json`` says."""
    monkeypatch.setattr(options, "connect", lambda _: target)
    result = CliRunner().invoke(cli.application, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("more", [(), ("--from-deltas",)], ids=["from the version", "from the deltas"])
def test_the_command_rebuild_publishes_the_same_rows_anew(stack, monkeypatch, more):
    target = local_target(stack)
    with published_version(target, "lines") as published:
        before, rows = published.version, {row.id: (row.text, row.metadata) for row in published.rows()}
    rebuilt = command(target, monkeypatch, "rebuild", "--collection", "lines", *more)
    assert (rebuilt["collection"], rebuilt["rows"]) == ("lines", len(rows))
    assert rebuilt["version"] > before
    with published_version(target, "lines") as published:
        assert published.version >= rebuilt["version"]
        assert {row.id: (row.text, row.metadata) for row in published.rows()} == rows


def test_the_command_resolve_names_a_receipt_that_came_before_its_merchant(stack, monkeypatch):
    target = local_target(stack)
    ((_, content),) = samples("mueller-1")
    resolved_by = ""
    # Not alike: a name that was learned before would resolve a receipt with one near it at once.
    for name in ("ZEBRAFINK KONTOR", "QUITTENHOF MANUFAKTUR", "IBISBURG DROGERIE"):
        first, second = json.loads(content), json.loads(content)
        for document in (first, second):
            document["image_id"] = str(uuid4())
            (receipt,) = document["receipts"]
            receipt["lines"] = receipt["lines"][:3]
            receipt["lines"][0] |= {"text": name, "words": []}
        second["receipts"][0]["merchant_name"] = name
        first["receipts"][0].pop("merchant_name", None)
        (early,) = process(target, [("first", json.dumps(first).encode())])
        process(target, [("second", json.dumps(second).encode())])
        said = command(target, monkeypatch, "resolve")
        assert said["recorded"] <= said["asked"]
        runs = eventually(
            lambda run=early.runs[0]: [
                item
                for item in repository(target).of_receipt(run.image_id, run.receipt_id)
                if item.kind == "metadata" and item.is_completed
            ]
        )
        assert runs[0].changes["merchant_name"] == name
        resolved_by = runs[0].consumer
        if resolved_by != "tick":
            break
    # A tick may have been the first, but not three times.
    assert resolved_by == "operator"


def test_state_survives_a_stop_and_a_start(stack):
    target = local_target(stack)
    before = stack_status(target)
    (process,) = stack.status()["services"][PAGE]
    with Watcher(LocalView(stack)) as watcher:
        stack.down()
        with pytest.raises(OperatorError, match="STACK_NOT_RUNNING"):
            watcher.look()
    assert not is_alive(process)
    result = stack.up({"embedConsumer": "lambda"})
    assert {step.operation for step in result.steps} == {"same"}
    assert PAGE not in stack.status()["services"]
    target = local_target(stack)
    assert stack_status(target)["runs_by_consumer"] == before["runs_by_consumer"]
    assert search(target, "GREENLEAF MARKET", collection="lines", limit=1).matches
