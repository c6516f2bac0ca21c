"""Whether a switch may begin, and what it says it will do.

Who blocks too much leaves an operator without a way out; who blocks too little switches beside somebody unknown.
"""

from typing import Any

import pytest

from one_consumer.audit.judgement import AuditedQueue, ExpectedQueue, Finding, judge
from one_consumer.live.observation import LiveConsumer, QueueObservation, SeenPipe, SeenTask, consumers
from ops.switching.plan import blockers, own_consumers, plan, strangers
from tests.switching.fakes import NOW, seen_mapping, seen_service

OWN = own_consumers({"embedFunctionName": "f", "serviceName": "s", "clusterName": "c"})


def seen(**found: Any) -> QueueObservation:
    return QueueObservation(url="u", arn="a", visible=0, in_flight=0, **found)


def unknown(found: QueueObservation) -> tuple[LiveConsumer, ...]:
    return strangers(consumers(found, NOW), OWN)


def names(found: QueueObservation) -> list[tuple[str, str]]:
    return [(item.kind, item.name) for item in unknown(found)]


@pytest.mark.parametrize("state", ["Enabled", "Disabled"])
@pytest.mark.parametrize("count", [0, 1])
def test_the_stacks_own_hosts_are_no_strangers_however_they_stand(state, count):
    assert names(seen(mappings=(seen_mapping("f", state),), services=(seen_service(count=count),))) == []


@pytest.mark.parametrize(
    ("found", "stranger"),
    [
        ({"mappings": (seen_mapping("g"),)}, ("mapping", "g")),
        ({"mappings": (seen_mapping("f:7"),)}, ("mapping", "f:7")),
        ({"mappings": (seen_mapping("s"),)}, ("mapping", "s")),
        ({"mappings": (seen_mapping("f"), seen_mapping("f"))}, ("mapping", "f")),
        ({"services": (seen_service("f"),)}, ("service", "f")),
        ({"services": (seen_service("s", cluster="other"),)}, ("service", "s")),
        ({"tasks": (SeenTask(cluster="c", name="s"),)}, ("task", "s")),
        ({"pipes": (SeenPipe(name="s", state="RUNNING"),)}, ("pipe", "s")),
    ],
)
def test_anybody_else_is_a_stranger_by_kind_name_and_cluster(found, stranger):
    assert names(seen(**found)) == [stranger]


@pytest.mark.parametrize(
    "found",
    [
        {"mappings": (seen_mapping("g", "Disabled"),)},
        {"mappings": (seen_mapping("f"), seen_mapping("f", "Disabled"))},
        {"services": (seen_service("t", count=0),)},
    ],
)
def test_a_stranger_that_is_off_is_nobody(found):
    assert names(seen(**found)) == []


def audited(label: str, expected: str | None, found: QueueObservation) -> AuditedQueue:
    queue, live = ExpectedQueue(label=label, url="u", consumer=expected), consumers(found, NOW)
    return AuditedQueue(expected=queue, visible=0, in_flight=0, consumers=live, finding=judge(queue, live))


def test_the_stacks_own_host_that_a_failed_update_left_on_does_not_block():
    found = seen(mappings=(seen_mapping("f", "Disabled"),), services=(seen_service(),))
    item = audited("embed", "f", found)
    assert item.finding is Finding.WRONG_CONSUMER
    assert blockers([item], {"embed": unknown(found)}) == []


def test_a_stranger_blocks_and_is_named():
    found = seen(mappings=(seen_mapping("f"), seen_mapping("g")))
    (told,) = blockers([audited("embed", "f", found)], {"embed": unknown(found)})
    assert told == "TWO_CONSUMERS on queue embed: mapping g (mapping mapping of g is Enabled)"


def test_a_service_of_another_cluster_blocks_though_the_audit_takes_it_for_the_stacks_own():
    found = seen(services=(seen_service("s", cluster="other"), seen_service("s", count=0)))
    item = audited("embed", "s", found)
    assert item.finding is None
    assert len(blockers([item], {"embed": unknown(found)})) == 1


def test_what_no_switch_turns_off_blocks_on_every_other_queue():
    merge = seen(mappings=(seen_mapping("merge"), seen_mapping("g")))
    assert len(blockers([audited("lines", "merge", merge)], {"embed": ()})) == 1
    assert blockers([audited("lines", "merge", seen(mappings=(seen_mapping("merge", "Disabled"),)))], {}) == []


def resources(*arguments: Any, **options: Any) -> list[str]:
    return [step.resource for step in plan(*arguments, **options)]


QUEUES = ["embed-lambda-queue", "embed-ecs-queue"]


def test_leaving_hybrid_stops_the_worker_and_empties_its_queues():
    steps = {step.resource: step.action for step in plan("hybrid", "lambda")}
    assert list(steps) == [
        "embed-queue",
        "upload-process-ocr-results-function",
        "worker-service",
        "worker-scaling",
        "embed-lambda-maps-embed-lambda",
        *QUEUES,
    ]
    assert "desired count 0" in steps["worker-service"]
    assert "moved to embed" in steps["embed-ecs-queue"]


def test_between_hybrid_and_ecs_the_worker_changes_its_queue_on_the_right_side_of_the_lock():
    leaving, entering = resources("hybrid", "ecs"), resources("ecs", "hybrid")
    assert leaving.index("embed-lambda-maps-embed") < leaving.index("embed-lock") < leaving.index("worker-service")
    assert entering.index("worker-service") < entering.index("embed-lock") < entering.index("embed-lambda-maps-embed")
    assert entering[1:3] == leaving[-2:] == QUEUES


def test_the_desired_count_is_told():
    (count,) = (step.action for step in plan("lambda", "ecs", tasks=3) if step.resource == "worker-service")
    assert count.startswith("desired count 3;")


@pytest.mark.parametrize("current", ["lambda", "ecs", "none"])
def test_after_an_update_that_failed_every_switch_is_set_whoever_the_outputs_name(current):
    assert resources(current, "lambda", half_way=True) == resources("ecs", "lambda")
    assert resources(current, "ecs", half_way=True) == resources("lambda", "ecs")
    off = ["embed-queue", "embed-lambda-maps-embed", "worker-service", "worker-scaling", "embed-lock"]
    assert resources(current, "none", half_way=True) == off


@pytest.mark.parametrize("chosen", ["lambda", "ecs", "hybrid", "none"])
def test_without_a_change_there_is_no_step(chosen):
    assert plan(chosen, chosen) == []
