"""Two queues, two consumers, one each: receipts go by size, and no message is lost on the way in or out."""

import pytest

from ops.auditing import audit
from ops.stacks.local import local_target
from ops.submitting import UploadedDocument, upload
from ops.target import Target
from ops.waiting import wait_until_searchable
from tests.switching.conftest import samples

SMALL, LARGE = ("mueller-2", "hardware-1"), ("greenleaf-long",)


def send(target: Target, *names: str) -> list[UploadedDocument]:
    return [upload(target, name, content) for name, content in samples(*names)]


def consumers(target: Target, documents: list[UploadedDocument]) -> set[str]:
    done = wait_until_searchable(target, documents, timeout_seconds=240)
    assert done.is_complete, done
    return {run.consumer for run in done.completed}


def test_small_receipts_go_to_the_function_and_large_ones_to_the_worker(stack):
    stack.up({"embedConsumer": "none"})
    waiting = send(local_target(stack), "two-receipts")
    stack.up({"embedConsumer": "hybrid"})
    target = local_target(stack)
    found = {item.expected.label: [live.name for live in item.on] for item in audit(target)}
    assert found["embed-lambda"] == found["embed"] == [target.outputs["embedFunctionName"]]
    assert found["embed-ecs"] == [target.outputs["serviceName"]]
    small, large = send(target, *SMALL), send(target, *LARGE)
    assert consumers(target, small) == {"lambda"}
    assert consumers(target, large) == {"ecs"}
    assert consumers(target, waiting) == {"lambda"}


@pytest.mark.long
def test_what_the_queues_hold_when_they_go_is_consumed_by_whoever_is_next(stack):
    stack.up({"embedConsumer": "hybrid"})
    target = local_target(stack)
    held = send(target, "cafe-lumiere-2", "sakura-2")
    result = stack.up({"embedConsumer": "ecs"})
    hooks = {step.name for step in result.steps if step.operation == "hook" and "is-emptied" in step.summary}
    assert hooks == {"embed-lambda-queue", "embed-ecs-queue"}
    assert {step.name for step in result.steps if step.operation == "delete"} >= hooks
    target = local_target(stack)
    assert set(target.outputs["embedQueueUrls"]) == {"embed"}
    assert consumers(target, held) <= {"lambda", "ecs"}
