"""`one-consumer audit` over an account without a stack. What it overlooks shares a queue's messages unnoticed.

moto stands in for AWS. It does not simulate a role's policies, so the tasks here have no role, which counts; roles are
tested in tests/switching/test_observer.py.
"""

import io
import json
import zipfile
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from one_consumer import command
from one_consumer.audit.account import Scope, scopes
from one_consumer.audit.judgement import Finding
from tests.world import create_queue

REGION = "eu-central-1"
TRUST = '{"Version": "2012-10-17", "Statement": []}'


@pytest.fixture(autouse=True)
def account(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


def client(service: str) -> Any:
    make: Any = boto3.client
    return make(service, region_name=REGION)


def queue(name: str = "jobs.fifo") -> tuple[str, str]:
    """A queue's URL and ARN."""
    url = create_queue(client("sqs"), name)
    found = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, found["Attributes"]["QueueArn"]


def role(name: str) -> str:
    return client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]


def mapping(arn: str, name: str, *, enabled: bool = True) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", "")
    functions = client("lambda")
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role(name),
        Handler="index.handle",
        Code={"ZipFile": packed.getvalue()},
    )
    functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=name, Enabled=enabled)


def task_definition(told: str, family: str = "worker") -> str:
    container = {"name": "main", "image": "i", "memory": 64, "environment": [{"name": "QUEUE_URL", "value": told}]}
    answer = client("ecs").register_task_definition(family=family, containerDefinitions=[container])
    return answer["taskDefinition"]["taskDefinitionArn"]


def cluster() -> str:
    return client("ecs").create_cluster(clusterName="work")["cluster"]["clusterArn"]


def service(told: str, *, count: int, maximum: int = 0) -> None:
    cluster()
    task_definition(told)
    client("ecs").create_service(cluster="work", serviceName="worker", taskDefinition="worker", desiredCount=count)
    if maximum:
        client("application-autoscaling").register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId="service/work/worker",
            ScalableDimension="ecs:service:DesiredCount",
            MinCapacity=0,
            MaxCapacity=maximum,
        )


def rule(definition: str, *, state: str = "ENABLED") -> None:
    client("events").put_rule(Name="hourly", ScheduleExpression="rate(1 hour)", State=state)
    parameters = {"TaskDefinitionArn": definition, "TaskCount": 1}
    target = {"Id": "1", "Arn": cluster(), "RoleArn": role("starter"), "EcsParameters": parameters}
    client("events").put_targets(Rule="hourly", Targets=[target])


def schedule(definition: str, name: str = "nightly", *, state: str = "ENABLED") -> None:
    client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        State=state,
        Target={
            "Arn": cluster(),
            "RoleArn": "arn:aws:iam::123456789012:role/starter",
            "EcsParameters": {"TaskDefinitionArn": definition},
        },
    )


def audited(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """The exit code, and the document that was written."""
    code = command.main(["audit", *words])
    return code, json.loads(capsys.readouterr().out)


def on(document: Any) -> list[tuple[str, str]]:
    return [(item["kind"], item["name"]) for item in document[0]["consumers"] if item["standing"] == "on"]


def test_a_function_and_a_service_on_one_queue_are_both_named_with_why_they_count(capsys):
    url, arn = queue()
    mapping(arn, "embed")
    service(url, count=1)
    code, document = audited(capsys, "--queue", url, "--json")
    assert code == 1
    assert document[0]["finding"] == Finding.TWO_CONSUMERS
    assert on(document) == [("mapping", "embed"), ("service", "worker")]
    function, worker = document[0]["consumers"]
    assert function["because"] == "the queue is its event source"
    assert worker["because"].startswith("variable QUEUE_URL of container main names the queue")


def test_a_service_at_zero_that_may_be_scaled_up_counts_and_one_that_may_not_is_off(capsys):
    url, arn = queue()
    mapping(arn, "embed")
    service(url, count=0)
    assert audited(capsys, "--queue", url, "--json")[0] == 0
    client("application-autoscaling").register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId="service/work/worker",
        ScalableDimension="ecs:service:DesiredCount",
        MinCapacity=0,
        MaxCapacity=3,
    )
    code, document = audited(capsys, "--queue", url, "--json")
    assert code == 1
    assert "scaling may start 3" in document[0]["consumers"][1]["why"]


@pytest.mark.parametrize("start", [rule, schedule])
def test_a_task_that_a_rule_or_a_schedule_starts_counts_unless_that_is_disabled(capsys, start):
    url, arn = queue()
    mapping(arn, "embed")
    definition = task_definition("jobs.fifo", "sweep")
    start(definition)
    code, document = audited(capsys, "--queue", url, "--json")
    assert code == 1
    assert on(document) == [("mapping", "embed"), ("schedule", "sweep")]
    (scheduled,) = [item for item in document[0]["consumers"] if item["kind"] == "schedule"]
    assert scheduled["cluster"] == "work"
    assert f"started by {start.__name__} {'hourly' if start is rule else 'nightly'}" in scheduled["why"]


@pytest.mark.parametrize("start", [rule, schedule])
def test_a_rule_or_schedule_that_is_disabled_starts_nothing(capsys, start):
    url, arn = queue()
    mapping(arn, "embed")
    start(task_definition(url, "sweep"), state="DISABLED")
    code, document = audited(capsys, "--queue", url, "--json")
    assert code == 0
    assert on(document) == [("mapping", "embed")]
    assert document[0]["consumers"][1]["standing"] == "off"


def test_several_schedules_of_one_program_are_one_consumer(capsys):
    url, _ = queue()
    definition = task_definition(url, "sweep")
    schedule(definition)
    # Without a revision the newest is meant.
    schedule(definition.rsplit(":", 1)[0], "noon")
    code, document = audited(capsys, "--queue", url, "--json")
    assert code == 0
    assert on(document) == [("schedule", "sweep")]
    assert "schedule nightly, schedule noon" in document[0]["consumers"][0]["why"]


def test_a_pipe_counts(capsys):
    url, arn = queue()
    mapping(arn, "embed")
    other = queue("other")[1]
    client("pipes").create_pipe(Name="forward", Source=arn, Target=other, RoleArn=role("forward"))
    code, document = audited(capsys, "--queue", url, "--json")
    assert code == 1
    assert on(document)[1] == ("pipe", "forward")


def test_all_queues_of_a_region_are_looked_at_and_what_has_one_consumer_or_none_is_no_finding(capsys):
    _, arn = queue()
    mapping(arn, "embed")
    queue("jobs-dead.fifo")
    code, document = audited(capsys, "--all", "--region", REGION, "--json")
    assert code == 0
    assert {item["queue"]: len(item["consumers"]) for item in document} == {"jobs.fifo": 1, "jobs-dead.fifo": 0}


def test_a_region_without_queues_is_said_to_have_none(capsys):
    assert command.main(["audit", "--all", "--region", "us-west-2"]) == 0
    assert capsys.readouterr().out == "no queue was found\n"


def test_each_region_that_is_named_is_looked_at(capsys):
    queue("near")
    create_queue(boto3.client("sqs", region_name="us-west-2"), "far")
    code, document = audited(capsys, "--all", "--region", REGION, "--region", "us-west-2", "--json")
    assert code == 0
    assert [item["queue"] for item in document] == ["near", "far"]


def test_a_queue_that_is_gone_is_a_finding(capsys):
    url, _ = queue()
    client("sqs").delete_queue(QueueUrl=url)
    code, document = audited(capsys, "--queue", url, "--json")
    assert (code, document[0]["finding"]) == (1, Finding.QUEUE_MISSING)


def test_a_mapping_that_is_disabled_beside_a_service_is_no_finding(capsys):
    url, arn = queue()
    mapping(arn, "embed", enabled=False)
    service(url, count=2)
    code, document = audited(capsys, "--queue", url, "--json")
    assert code == 0
    assert on(document) == [("service", "worker")]


def test_people_are_told_in_lines_and_no_name_speaks_to_their_terminal(capsys):
    url, arn = queue()
    mapping(arn, "embed")
    service(f"{url}\x1b[31m", count=1)
    assert command.main(["audit", "--queue", url]) == 1
    told = capsys.readouterr().out
    assert "mapping embed is on" in told
    assert "TWO_CONSUMERS: More than one consumer is on" in told
    assert "\x1b" not in told


def test_code_scanning_gets_the_findings_alone_with_what_it_needs_to_show_them(capsys):
    url, arn = queue()
    mapping(arn, "embed")
    service(url, count=1)
    queue("quiet")
    code, document = audited(capsys, "--all", "--region", REGION, "--sarif", "--sarif-location", "infra/Pulumi.yaml")
    assert code == 1
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [item["id"] for item in rules] == [item.value for item in Finding]
    assert all(item["shortDescription"]["text"] for item in rules)
    (result,) = run["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "TWO_CONSUMERS"
    assert result["level"] == "error"
    assert "mapping embed" in result["message"]["text"]
    (place,) = result["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "infra/Pulumi.yaml"
    again = audited(capsys, "--all", "--region", REGION, "--sarif")[1]["runs"][0]["results"][0]
    assert again["partialFingerprints"] == result["partialFingerprints"]


def test_a_right_that_is_missing_says_nothing_of_the_account_and_has_an_exit_code_of_its_own(capsys, monkeypatch):
    url, arn = queue()
    mapping(arn, "embed")
    base: Any = BaseClient
    call = base._make_api_call

    def denied(self: Any, operation: str, arguments: Any) -> Any:
        if operation == "ListSchedules":
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not you"}}, operation)
        return call(self, operation, arguments)

    monkeypatch.setattr(base, "_make_api_call", denied)
    assert command.main(["audit", "--queue", url, "--json"]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert "ListSchedules" in told.err


@pytest.mark.parametrize(
    ("urls", "regions", "wanted"),
    [
        (["https://sqs.us-west-2.amazonaws.com/1/a"], [], [("us-west-2", 1)]),
        (["https://sqs.cn-north-1.amazonaws.com.cn/1/a"], [], [("cn-north-1", 1)]),
        (["https://eu-west-1.queue.amazonaws.com/1/a"], [], [("eu-west-1", 1)]),
        (["http://127.0.0.1:4566/1/a"], ["us-east-1"], [("us-east-1", 1)]),
        (["http://127.0.0.1:4566/1/a"] * 2, [], [(None, 1)]),
        (
            ["https://sqs.us-west-2.amazonaws.com/1/a", "https://sqs.us-east-1.amazonaws.com/1/a"],
            [],
            [("us-west-2", 1), ("us-east-1", 1)],
        ),
        ([], ["a", "b", "a"], [("a", 0), ("b", 0)]),
        ([], [], [(None, 0)]),
    ],
)
def test_a_queue_is_looked_for_where_its_url_says(urls, regions, wanted):
    found: list[Scope] = scopes(urls, regions)
    assert [(item.region, len(item.queue_urls)) for item in found] == wanted


@pytest.mark.parametrize(
    "words", [["audit"], ["audit", "--all", "--queue", "u"], ["audit", "--all", "--json", "--sarif"]]
)
def test_a_command_line_that_is_wrong_is_exit_code_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 2
