"""Stacks that make queues and consumers by AWS Native, Cloud Control or templates. What is not read there is missed."""

import json
from typing import Any

import pytest

from one_consumer.pack.codes import Code
from tests.policy.dumps import Dump, Item, Moment, Text
from tests.policy.recorded import judged
from tests.policy.styles import RECEIVE, SEND, containers, role, statement, task
from tests.policy.table import Table, stack_of

REPORTED = ["ReportBatchItemFailures"]
TEMPLATE = """
Parameters:
  Source: {Type: String}
Resources:
  Worker:
    Type: AWS::Lambda::Function
    Properties: {Role: !GetAtt Role.Arn, Handler: x}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !Ref Source
      FunctionName: !Ref Worker
      FunctionResponseTypes: [ReportBatchItemFailures]
"""
SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Inner: {Type: AWS::SQS::Queue}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Handler: x
      Events:
        Jobs:
          Type: SQS
          Properties: {Queue: !GetAtt Inner.Arn, FunctionResponseTypes: [ReportBatchItemFailures]}
  Second:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !Sub '${Inner.Arn}'
      FunctionName: other
      FunctionResponseTypes: [ReportBatchItemFailures]
"""


def nothing(dump: Dump, jobs: Item) -> None:
    """The stack as it is."""


def native_mapping(dump: Dump, source: Item, name: str = "second", **rest: Any) -> None:
    dump.add(
        "aws-native:lambda:EventSourceMapping",
        name,
        eventSourceArn=source.arn,
        functionName=name,
        functionResponseTypes=REPORTED,
        **rest,
    )


def native_mapping_that_is_off(dump: Dump, jobs: Item) -> None:
    native_mapping(dump, jobs, enabled=False)


def native_mappings_of_a_native_queue(dump: Dump, jobs: Item) -> None:
    own = dump.add("aws-native:sqs:Queue", "own")
    native_mapping(dump, own, "first")
    native_mapping(dump, own, "second")


def native_service(dump: Dump, jobs: Item, actions: list[str] = RECEIVE) -> None:
    # Its policies are shown in parts, so that the actions are known before the queue's ARN is.
    document = {"Statement": [statement(actions, jobs.arn)]}
    given = dump.add("aws-native:iam:Role", "r", policies=[{"policyName": "p", "policyDocument": document}])
    definition = dump.add(
        "aws-native:ecs:TaskDefinition",
        "poller",
        taskRoleArn=given.arn,
        containerDefinitions=[containers({"QUEUE_URL": jobs.url})],
    )
    dump.add("aws-native:ecs:Service", "poller", cluster="main", taskDefinition=definition.arn, desiredCount=1)


def native_sender(dump: Dump, jobs: Item) -> None:
    native_service(dump, jobs, SEND)


def native_rule_with_a_task(dump: Dump, jobs: Item) -> None:
    given = task(dump, "poller", role(dump, "r", (RECEIVE, jobs.arn)).arn, containers({"QUEUE_URL": jobs.url}))
    target = {
        "arn": "arn:aws:ecs:us-east-1:000000000000:cluster/main",
        "ecsParameters": {"taskDefinitionArn": given.arn},
    }
    dump.add("aws-native:events:Rule", "hourly", scheduleExpression="rate(1 hour)", targets=[target])


def native_managed_policy(dump: Dump, jobs: Item) -> None:
    given = role(dump, "r")
    document = {"Statement": [statement(RECEIVE, jobs.arn)]}
    dump.add("aws-native:iam:ManagedPolicy", "p", policyDocument=document, roles=[given.id])
    definition = task(dump, "poller", given.arn, containers({"QUEUE_URL": jobs.url}))
    dump.add("aws:ecs/service:Service", "poller", taskDefinition=definition.arn, desiredCount=1)


def cloud_control_mapping(dump: Dump, jobs: Item) -> None:
    desired = {"EventSourceArn": jobs.arn, "FunctionName": "other", "FunctionResponseTypes": REPORTED}
    kind = "AWS::Lambda::EventSourceMapping"
    dump.add("aws:cloudcontrol/resource:Resource", "second", typeName=kind, desiredState=Text(json.dumps, desired))


def template_with_a_parameter(dump: Dump, jobs: Item) -> None:
    parameters = {"Source": jobs.arn}
    dump.add("aws:cloudformation/stack:Stack", "old", templateBody=TEMPLATE, parameters=parameters)


def template_that_is_made_of_the_queue(dump: Dump, jobs: Item) -> None:
    # templateBody: pulumi.interpolate`...${queue.arn}...`; at first it is said to be unjudged.
    made = {"EventSourceArn": jobs.arn, "FunctionName": "x", "FunctionResponseTypes": REPORTED}
    body = {"Resources": {"Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": made}}}
    dump.add("aws:cloudformation/stack:Stack", "old", templateBody=Text(json.dumps, body))


def template_of_sam_with_a_queue_of_its_own(dump: Dump, jobs: Item) -> None:
    dump.add("aws:cloudformation/stack:Stack", "sam", templateBody=SAM)


def native_stack(dump: Dump, jobs: Item) -> None:
    dump.add("aws-native:cloudformation:Stack", "sam", templateBody=SAM)


def template_with_one_consumer_of_its_own_queue(dump: Dump, jobs: Item) -> None:
    body = TEMPLATE.replace("!Ref Source", "!GetAtt Own.Arn") + "  Own: {Type: AWS::SQS::Queue}\n"
    dump.add("aws:cloudformation/stack:Stack", "old", templateBody=body)


TABLE = Table()
for function, verdicts in (
    (native_mapping, "M M M"),
    (native_mapping_that_is_off, "- - -"),
    (native_mappings_of_a_native_queue, "M M M"),
    (native_service, "M M M"),
    (native_sender, "- - -"),
    (native_rule_with_a_task, "a M M"),
    (native_managed_policy, "M M M"),
    (cloud_control_mapping, "M M M"),
    (template_with_a_parameter, "M M M"),
    (template_that_is_made_of_the_queue, "a M M"),
    (template_of_sam_with_a_queue_of_its_own, "M M M"),
    (native_stack, "M M M"),
    (template_with_one_consumer_of_its_own_queue, "- - -"),
):
    TABLE.style(verdicts)(function)


@pytest.mark.parametrize("moment", list(Moment), ids=lambda moment: moment.value)
@pytest.mark.parametrize("name", TABLE.rows)
def test_what_another_provider_makes_is_judged_alike(name: str, moment: Moment) -> None:
    TABLE.check(name, moment)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "neither JSON nor YAML"),
        ("a: [", "neither JSON nor YAML"),
        ("- 1", "no mapping"),
        ("a: &a [1]\nb: *a", "aliases"),
        ("\x00", "neither JSON nor YAML"),
    ],
)
def test_a_template_that_cannot_be_read_is_said_to_be_unjudged(body: str, said: str) -> None:
    dump = stack_of(nothing)
    source = {"Source": dump.items[0].arn}
    dump.add("aws:cloudformation/stack:Stack", "old", templateBody=body, parameters=source)
    (violation,) = judged(dump.at(Moment.KNOWN))
    assert violation.code is Code.UNJUDGED
    assert said in violation.message


@pytest.mark.parametrize(
    "strange",
    [
        *({"Resources": value} for value in (None, [], {"A": None}, {"A": {"Type": 1, "Properties": 2}})),
        *(
            {"Resources": {"A": {"Type": kind, "Properties": value}}}
            for kind in (
                "AWS::Lambda::EventSourceMapping",
                "AWS::Serverless::Function",
                "A::Not::Yet",
                "AWS::IAM::Role",
            )
            for value in (
                *({"EventSourceArn": {"Fn::Sub": item}} for item in (None, 1, [], [1], ["${A}", 3])),
                *({"EventSourceArn": {"Fn::GetAtt": item}} for item in (None, 1, [], {})),
                *({"EventSourceArn": {"Fn::Join": item}} for item in (None, 1, [], ["", 1], ["", [None]])),
                {"EventSourceArn": {"Ref": ["x"]}},
                {"Events": {"X": {"Type": "SQS"}}, "Policies": 1},
                {"Policies": [None, {}]},
            )
        ),
    ],
    ids=repr,
)
def test_a_strange_template_breaks_nothing(strange: object) -> None:
    dump = stack_of(nothing)
    dump.add("aws:cloudformation/stack:Stack", "old", templateBody=json.dumps(strange))
    assert judged(dump.at(Moment.KNOWN)) == []
