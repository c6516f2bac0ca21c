"""References in a graph, by value and by dependency; a reference that is missed hides a consumer."""

from typing import Any

import pytest

from one_consumer.pack.address import Address
from one_consumer.pack.codes import Code
from one_consumer.pack.consumers.mappings import MAPPING
from one_consumer.pack.graph import QUEUE, UNKNOWN, Graph, Resource
from tests.policy.recorded import judged

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


@pytest.mark.parametrize(
    ("text", "region"),
    [
        (ARN, "us-east-1"),
        ("https://sqs.us-east-1.amazonaws.com/000000000000/jobs", "us-east-1"),
        ("sqs.us-east-1.amazonaws.com/000000000000/jobs", "us-east-1"),
        ("https://sqs-fips.us-east-1.amazonaws.com/000000000000/jobs", "us-east-1"),
        ("https://sqs.us-east-1.api.aws/000000000000/jobs", "us-east-1"),
        ("https://vpce-0a-b.sqs.us-east-1.vpce.amazonaws.com/000000000000/jobs", "us-east-1"),
        ("https://queue.amazonaws.com/000000000000/jobs", "us-east-1"),
        ("https://eu-west-1.queue.amazonaws.com/000000000000/jobs", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/000000000000/jobs", "cn-north-1"),
        ("https://cn-north-1.queue.amazonaws.com.cn/000000000000/jobs", "cn-north-1"),
        ("http://localhost:4566/000000000000/jobs", None),
        ("http://127.0.0.1:4566/queue/us-east-1/000000000000/jobs", None),
        ("http://[::1]:4566/000000000000/jobs", None),
        ("http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/jobs", None),
    ],
)
def test_a_queues_address_is_read_from_an_arn_or_url(text: str, region: str | None) -> None:
    assert Address.read(text) == Address(region, "000000000000", "jobs")


@pytest.mark.parametrize(
    "text",
    [
        "jobs",
        "files/jobs",
        "000000000000/jobs",
        "s3://bucket/jobs",
        "https://api.example.com/jobs",
        "https://api.example.com/000000000000/jobs",
        "https://sqs.us-east-1.amazonaws.com.example.com/000000000000/jobs",
        "https://s3.us-east-1.amazonaws.com/000000000000/jobs",
        "https://sqs.us-east-1.amazonaws.com/jobs",
        "http://localhost:4566/jobs",
        "arn:aws:kinesis:us-east-1:000000000000:stream/jobs",
        "arn:aws:sns:us-east-1:000000000000:jobs",
        "arn:aws:sqs:*:*:jobs",
    ],
)
@pytest.mark.parametrize("arn", [ARN, UNKNOWN], ids=["known", "unknown"])
def test_nothing_else_that_ends_with_a_queues_name_is_its_address(text: str, arn: object) -> None:
    assert Address.read(text) is None
    graph = Graph([resource(QUEUE, "x", properties={"name": "jobs", "arn": arn, "url": UNKNOWN})])
    # Its bare name is its own all the same; whoever reads one judges the place where it stands.
    assert bool(graph.queues_named(text)) is (text == "jobs")


def test_what_is_ignored_in_part_is_unknown() -> None:
    action = resource("any:any:Any", "any", properties={"deep": {"a": 0}}, ignored=frozenset({"deep.a", "list[0]"}))
    assert (action.switch("deep"), action.switch("list"), action.switch("other")) == (UNKNOWN, UNKNOWN, None)


def test_an_arn_of_another_service_names_nothing() -> None:
    topic = resource("aws:sns/topic:Topic", "x", properties={"name": "jobs", "arn": UNKNOWN})
    graph = Graph([topic])
    assert graph.named(ARN, topic.type) == []
    assert graph.named("arn:aws:sns:us-east-1:000000000000:jobs", topic.type) == [topic]
    assert graph.named("https://api.example.com/jobs", topic.type) == []


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
    assert [violation.code for violation in judged(graph)] == [Code.ONE_CONSUMER]


def test_a_component_with_two_queues_proves_nothing() -> None:
    component = resource("any:any:Component", "component")
    queues = [resource(QUEUE, name, properties={"arn": UNKNOWN}, parent=component.urn) for name in ("jobs", "dead")]
    graph = Graph([component, *queues, mapping_of("first", component.urn), mapping_of("second", queues[0].urn)])
    assert [violation.code for violation in judged(graph)] == [Code.ONE_CONSUMER_UNPROVEN]


def test_one_queue_read_twice_is_one_queue() -> None:
    twice = [resource(QUEUE, name, properties={"arn": ARN}) for name in ("made", "read")]
    graph = Graph([*twice, *(mapping_of(queue.name, queue.urn) for queue in twice)])
    assert [violation.code for violation in judged(graph)] == [Code.ONE_CONSUMER]


def test_what_is_unknown_is_not_taken_for_wrong() -> None:
    unknown = dict.fromkeys(
        ("enabled", "batchSize", "maximumBatchingWindowInSeconds", "scalingConfig", "functionResponseTypes"), UNKNOWN
    )
    queue = resource(QUEUE, "jobs", properties={"arn": ARN, "fifoQueue": True, "redrivePolicy": UNKNOWN})
    mapping = resource(MAPPING, "only", properties={**unknown, "eventSourceArn": ARN, "destinationConfig": UNKNOWN})
    assert judged(Graph([queue, mapping])) == []
