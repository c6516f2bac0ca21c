"""Stacks that nobody expects, given to the pack as the engine gives them. One that crashes the pack ends a preview."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import analyzer_pb2

from one_consumer.pack.codes import Code, Violation
from one_consumer.pack.consumers.mappings import MAPPING
from one_consumer.pack.graph import QUEUE, UNKNOWN, Graph
from one_consumer.pack.judgement import JUDGED
from one_consumer.pack.server import OUTPUT, RESOURCE, SECRET, SIGNATURE, UNKNOWN_VALUES, Pack, resource_of
from one_consumer.pack.workloads import Workload
from tests.policy.recorded import judged, messages_of, record
from tests.policy.test_graph import ARN, resource

UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
DEEP: dict[str, Any] = {
    **dict.fromkeys(("annotations", "ecsParameters", "variables", "imageRepository", "Resources", "statement"), 1),
    **dict.fromkeys(("launchTemplateSpecification", "podProperties", "image", "onFailure", "targets", "tags"), "x"),
    "template": {"spec": {"containers": [1, {"env": [{"name": 1, "value": None}], "args": [1]}]}},
    "taskProperties": [1, {"containers": 1}],
    "nodeRangeProperties": [1, {"container": 1, "ecsProperties": "[1]"}],
    "States": {"a": {"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask", "Parameters": {"TaskDefinition": 1}}},
    "containerOverrides": [1, {"environment": [1], "Environment": {"Name": 1}}],
    "Statement": [1, {"Effect": "Allow", "Action": 1, "Resource": [1], "Principal": {"Service": 1, "AWS": [None]}}],
}
"""What is right on the outside and strange within."""
STRANGE: list[Any] = [
    *(None, 0, True, "", "{}", "[0]", "not JSON", UNKNOWN_TEXT, [], [None], [UNKNOWN_TEXT], {}, {"Statement": 0}),
    {SIGNATURE: SECRET, "value": UNKNOWN_TEXT},
    {SIGNATURE: SECRET},
    {SIGNATURE: OUTPUT},
    {SIGNATURE: RESOURCE, "urn": "urn:x"},
    {SIGNATURE: "of a kind that does not exist yet", "value": 1},
    {SIGNATURE: 5},
    DEEP,
    json.dumps(DEEP),
]


def message(kind: str, name: str, properties: dict[str, Any], **rest: Any) -> analyzer_pb2.AnalyzerResource:
    struct = struct_pb2.Struct()
    struct.update(properties)
    urn = f"urn:pulumi:test::any::{kind}::{name}"
    return analyzer_pb2.AnalyzerResource(urn=urn, type=kind, name=name, properties=struct, **rest)


def analyzed(*messages: analyzer_pb2.AnalyzerResource) -> list[analyzer_pb2.AnalyzeDiagnostic]:
    return list(Pack().AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=messages), None).diagnostics)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        *((value, UNKNOWN) for value in sorted(UNKNOWN_VALUES)),
        ({SIGNATURE: SECRET, "value": "hidden"}, "hidden"),
        ({SIGNATURE: SECRET, "value": {SIGNATURE: SECRET, "value": ["a"]}}, ["a"]),
        ({SIGNATURE: OUTPUT, "value": "known", "dependencies": []}, "known"),
        ({SIGNATURE: OUTPUT, "secret": True}, UNKNOWN),
        ({SIGNATURE: RESOURCE, "urn": "urn:x", "id": "i"}, "i"),
        ({SIGNATURE: "0def7320c3a5731c473e5ecbe6d01bc7", "path": "."}, None),
        ({"a": [1, None, {"b": True}]}, {"a": [1, None, {"b": True}]}),
    ],
    ids=repr,
)
def test_a_value_of_the_protocol_is_read(written: Any, read: Any) -> None:
    assert resource_of(message(QUEUE, "jobs", {"any": written})).properties == {"any": read}


@pytest.mark.long
@pytest.mark.parametrize("program", ["locks_that_hold", "awkward_but_good"])
def test_a_strange_value_in_any_property_breaks_nothing(program: str) -> None:
    messages = messages_of(record(program))
    for key in sorted({key for item in messages for key in item.properties.fields if item.type in JUDGED}):
        for value in STRANGE:
            strange = []
            for item in messages:
                changed = analyzer_pb2.AnalyzerResource()
                changed.CopyFrom(item)
                if key in changed.properties.fields:
                    changed.properties.update({key: value})
                strange.append(changed)
            assert [item.message for item in analyzed(*strange) if item.policyName == "unjudged"] == []


PROPERTIES = [
    "alarmActions",
    "arn",
    "batchTarget",
    "containerDefinitions",
    "containerProperties",
    "definition",
    "desiredState",
    "destinationConfig",
    "dimensions",
    "ecsProperties",
    "ecsTarget",
    "eksProperties",
    "environment",
    "eventSourceArn",
    "family",
    "filterCriteria",
    "functionName",
    "iamInstanceProfile",
    "id",
    "inlinePolicies",
    "input",
    "instanceConfiguration",
    "launchTemplate",
    "launchTemplateData",
    "managedPolicyArns",
    "metadata",
    "mixedInstancesPolicy",
    "name",
    "nodeProperties",
    "parameters",
    "policies",
    "policy",
    "policyArns",
    "policyNames",
    "principal",
    "properties",
    "queueUrl",
    "queues",
    "redrivePolicy",
    "resourceId",
    "role",
    "roleArn",
    "roles",
    "rule",
    "scalableTargetAction",
    "scale",
    "serviceNamespace",
    "sourceConfiguration",
    "spec",
    "tags",
    "tagsAll",
    "target",
    "targets",
    "taskDefinition",
    "taskRoleArn",
    "templateBody",
    "typeName",
    "url",
    "userData",
]


@pytest.mark.parametrize("kind", sorted(JUDGED))
def test_a_resource_of_every_kind_may_hold_anything(kind: str) -> None:
    queue = message(QUEUE, "jobs", {"arn": ARN})
    for value in STRANGE:
        strange = message(kind, "x", dict.fromkeys(PROPERTIES, value))
        assert [item.message for item in analyzed(queue, strange) if "failed on this stack" in item.message] == []


def test_a_cycle_of_parents_and_of_dependencies_ends() -> None:
    first, second = (f"urn:pulumi:test::any::{QUEUE}::{name}" for name in ("first", "second"))
    told = {"arn": analyzer_pb2.AnalyzerPropertyDependencies(urns=[first, second])}
    queues = [
        message(QUEUE, "first", {"arn": UNKNOWN_TEXT}, parent=second, propertyDependencies=told, dependencies=[second]),
        message(QUEUE, "second", {"arn": UNKNOWN_TEXT}, parent=first, propertyDependencies=told, dependencies=[first]),
    ]
    assert analyzed(*queues) == []


def test_what_depends_on_nothing_that_is_shown_is_judged() -> None:
    gone = {"eventSourceArn": analyzer_pb2.AnalyzerPropertyDependencies(urns=["urn:gone"])}
    mapping = message(MAPPING, "m", {"eventSourceArn": UNKNOWN_TEXT}, propertyDependencies=gone, parent="urn:gone")
    assert analyzed(mapping) == []


@pytest.mark.parametrize(
    "arn",
    ["arn:aws-cn:sqs:cn-north-1:000000000000:jobs", "arn:aws-us-gov:sqs:us-gov-west-1:111111111111:jobs.fifo"],
)
def test_queues_of_other_partitions_and_accounts_are_queues(arn: str) -> None:
    mappings = [
        resource(MAPPING, name, properties={"eventSourceArn": arn, "functionName": name, "batchSize": 1})
        for name in ("first", "second")
    ]
    assert [violation.code for violation in judged(Graph(mappings))] == [Code.ONE_CONSUMER]


@pytest.mark.parametrize(
    ("kind", "name", "codes"),
    [
        ("aws:lambda/streamOfTomorrow:StreamOfTomorrow", "eventSourceArn", ["unjudged"]),
        ("aws:pipes/pipeline:Pipeline", "source", ["unjudged"]),
        ("aws:lambda/permission:Permission", "sourceArn", []),
        ("aws:sns/topicSubscription:TopicSubscription", "endpoint", []),
    ],
)
def test_a_kind_that_does_not_exist_yet_is_said_to_be_unjudged(kind: str, name: str, codes: list[str]) -> None:
    queue = message(QUEUE, "jobs", {"arn": ARN})
    other = message(kind, "other", {name: ARN})
    assert [item.policyName for item in analyzed(queue, other)] == codes


def test_a_fault_of_a_rule_is_said_and_the_other_rules_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Graph, **rest: object) -> Iterator[Violation]:
        raise KeyError("x")

    monkeypatch.setattr("one_consumer.pack.judgement.one_consumer", broken)
    broken_diagnostics = analyzed(*messages_of(record("limits")))
    assert {item.policyName for item in broken_diagnostics} >= {"unjudged", "fifo-batch-size"}
    (unjudged,) = [item for item in broken_diagnostics if item.policyName == "unjudged"]
    assert unjudged.enforcementLevel == analyzer_pb2.ADVISORY
    assert "KeyError" in unjudged.message


def test_a_fault_in_one_kind_of_consumers_hides_no_conflict_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Graph) -> Iterator[Workload]:
        raise KeyError("x")

    monkeypatch.setattr("one_consumer.pack.consumers.batch.programs_of", broken)
    monkeypatch.setattr("one_consumer.pack.consumers.started.programs_of", broken)
    job = message("aws:batch/jobDefinition:JobDefinition", "job", {"containerProperties": "{}"})
    diagnostics = analyzed(job, *messages_of(record("two_mappings")))
    assert {item.policyName for item in diagnostics} == {"one-consumer", "unjudged"}


def test_a_fault_in_reading_the_stack_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("one_consumer.pack.judgement.Graph", None)
    (diagnostic,) = analyzed(message(QUEUE, "jobs", {}))
    assert (diagnostic.policyName, diagnostic.enforcementLevel) == ("unjudged", analyzer_pb2.ADVISORY)
