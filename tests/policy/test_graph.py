"""References in a graph, by value and by dependency; a reference that is missed hides a consumer."""

from typing import Any

import pytest

from policy.graph import QUEUE, UNKNOWN, Graph, Resource
from policy.rules import MAPPING, Code, judge

ARN = "arn:aws:sqs:us-east-1:000000000000:jobs"


def resource(kind: str, name: str, **rest: Any) -> Resource:
    rest.setdefault("properties", {})
    return Resource(urn=f"urn:pulumi:test::any::{kind}::{name}", type=kind, name=name, **rest)


def mapping_of(name: str, *urns: str) -> Resource:
    return resource(
        MAPPING,
        name,
        properties={"eventSourceArn": UNKNOWN, "functionResponseTypes": ["ReportBatchItemFailures"]},
        property_dependencies={"eventSourceArn": frozenset(urns)},
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (ARN, True),
        ("https://sqs.us-east-1.amazonaws.com/000000000000/jobs", True),
        ("https://sqs.eu-west-1.amazonaws.com/000000000000/jobs", False),
        ("https://sqs.us-east-1.amazonaws.com/111111111111/jobs", False),
        ("arn:aws:sqs:eu-west-1:000000000000:jobs", False),
        (f"{ARN}-2", False),
        ("jobs", False),
    ],
)
def test_a_queue_outside_the_stack_is_meant_by_its_arn_or_url_only(text: str, meant: bool) -> None:
    graph = Graph([resource("any:any:Any", "any", properties={"deep": [{"text": f"see {ARN}!"}]})])
    assert list(graph.queues) == [ARN]
    assert graph.queues[ARN].is_named_by(text) is meant


@pytest.mark.parametrize("pattern", [f"{ARN}*", f"{ARN}-*", "arn:aws:sqs:*:*:*"])
def test_a_pattern_of_queues_is_no_queue(pattern: str) -> None:
    assert Graph([resource("any:any:Any", "any", properties={"text": pattern})]).queues == {}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("f", True),
        ("arn:aws:lambda:r:0:function:f", True),
        ("arn:aws:lambda:r:0:function:f:live", True),
        ("arn:aws:lambda:r:1:function:f", False),
        ("arn:aws:lambda:r:0:function:fa", False),
        ("live", False),
    ],
)
def test_a_known_arn_decides_and_may_go_on_with_a_qualifier(text: str, meant: bool) -> None:
    function = resource("any:any:Function", "x", properties={"name": "f", "arn": "arn:aws:lambda:r:0:function:f"})
    assert (Graph([function]).named(text, "any:any:Function") == [function]) is meant


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        ("*", True),
        ("arn:aws:sqs:*", True),
        ("arn:aws:sqs:*:*:jobs*", True),
        ("arn:aws-cn:*:*:*:j?bs", True),
        ("arn:aws:sqs:*:*:other*", False),
        ("arn:aws:s3:::*", False),
    ],
)
@pytest.mark.parametrize("arn", [ARN, UNKNOWN], ids=["known", "unknown"])
def test_a_pattern_covers_a_queue_before_its_arn_is_known(arn: object, pattern: str, covered: bool) -> None:
    graph = Graph([resource(QUEUE, "x", properties={"name": "jobs", "arn": arn})])
    (queue,) = graph.queues.values()
    assert queue.is_covered_by(pattern) is (covered and not (arn == ARN and "aws-cn" in pattern))


def test_a_component_stands_for_the_queue_that_it_holds() -> None:
    component = resource("any:any:Component", "component")
    queue = resource(QUEUE, "jobs", properties={"arn": UNKNOWN}, parent=component.urn)
    graph = Graph([component, queue, mapping_of("first", component.urn), mapping_of("second", queue.urn)])
    assert [violation.code for violation in judge(graph)] == [Code.ONE_CONSUMER]


def test_a_component_with_two_queues_proves_nothing() -> None:
    component = resource("any:any:Component", "component")
    queues = [resource(QUEUE, name, properties={"arn": UNKNOWN}, parent=component.urn) for name in ("jobs", "dead")]
    graph = Graph([component, *queues, mapping_of("first", component.urn), mapping_of("second", queues[0].urn)])
    assert [violation.code for violation in judge(graph)] == [Code.ONE_CONSUMER_UNPROVEN]


def test_one_queue_read_twice_is_one_queue() -> None:
    twice = [resource(QUEUE, name, properties={"arn": ARN}) for name in ("made", "read")]
    graph = Graph([*twice, *(mapping_of(queue.name, queue.urn) for queue in twice)])
    assert [violation.code for violation in judge(graph)] == [Code.ONE_CONSUMER]


def test_what_is_unknown_is_not_taken_for_wrong() -> None:
    unknown = dict.fromkeys(
        ("enabled", "batchSize", "maximumBatchingWindowInSeconds", "scalingConfig", "functionResponseTypes"), UNKNOWN
    )
    queue = resource(QUEUE, "jobs", properties={"arn": ARN, "fifoQueue": True, "redrivePolicy": UNKNOWN})
    mapping = resource(MAPPING, "only", properties={**unknown, "eventSourceArn": ARN, "destinationConfig": UNKNOWN})
    assert judge(Graph([queue, mapping])) == []
