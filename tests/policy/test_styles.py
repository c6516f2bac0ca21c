"""Stacks in the styles of real programs at three moments. A false refusal makes a team drop the guard; so does silence.

Each row: what a program adds beside a queue ``jobs`` that a mapping feeds a function from, and the verdict at the first
preview, at a preview over the existing queue, and when everything is known: M mandatory, a advisory, - none.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from policy.codes import Code
from policy.declarations import SENDS_ONLY_TAG
from policy.settings import SendsOnly, Settings
from tests.policy.dumps import ACCOUNT, REGION, Dump, Item, LookedUp, Moment, Text
from tests.policy.recorded import judged
from tests.policy.styles import (
    FULL_ACCESS,
    IMAGE,
    RECEIVE,
    SEND,
    containers,
    document,
    fed_function,
    looked_up,
    mapping,
    policy,
    profile,
    queue,
    role,
    service,
    state_machine,
    statement,
    task,
    user_data,
    written_policy,
)

Style = Callable[[Dump, Item], object]
TABLE: dict[str, tuple[str, Style]] = {}
URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/jobs-4f2c1b9"
ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs-4f2c1b9"
DECLARED = {SENDS_ONLY_TAG: "jobs"}


def style(verdicts: str) -> Callable[[Style], Style]:
    """Put a style into the table, by its function's name."""

    def put(function: Style) -> Style:
        assert function.__name__ not in TABLE
        TABLE[function.__name__] = (verdicts, function)
        return function

    return put


def verdict(dump: Dump, moment: Moment, settings: Settings | None = None) -> str:
    codes = {violation.code for violation in judged(dump.at(moment), settings)}
    assert codes <= {Code.ONE_CONSUMER, Code.ONE_CONSUMER_UNPROVEN, Code.UNJUDGED}, codes
    return "M" if Code.ONE_CONSUMER in codes else "a" if codes else "-"


# Mappings and pipes: by any spelling, at once.


@style("M M M")
def second_mapping_of_another_function(dump: Dump, jobs: Item) -> None:
    mapping(dump, "second", jobs, "other")


@style("- M M")
def second_mapping_by_arn(dump: Dump, jobs: Item) -> None:
    # At a first preview nobody can know the ARN of a queue whose name is not yet made up.
    dump.add(
        "aws:lambda/eventSourceMapping:EventSourceMapping",
        "second",
        eventSourceArn=ARN,
        functionName="other",
        functionResponseTypes=["ReportBatchItemFailures"],
    )


@style("M M M")
def magic_function_of_typescript(dump: Dump, jobs: Item) -> None:
    # queue.onEvent("second", async () => {...}): a component with a function and a mapping in it.
    component = dump.add("aws:sqs:QueueEventSubscription", "second")
    function = dump.add("aws:lambda/function:Function", "second", parent=component, role="arn:aws:iam::0:role/x")
    dump.add(
        "aws:lambda/eventSourceMapping:EventSourceMapping",
        "second",
        parent=component,
        batchSize=1,
        enabled=True,
        eventSourceArn=jobs.arn,
        functionName=function.id,
    )


@style("M M M")
def mapping_of_an_alias_and_of_latest(dump: Dump, jobs: Item) -> None:
    # AWS takes both: they are different functions to it. Two versions then share the messages at random.
    alias = dump.add("aws:lambda/alias:Alias", "live", functionName="worker-4f2c1b9", functionVersion="3")
    mapping(dump, "by-alias", jobs, alias.arn)


@style("M M M")
def mapping_of_a_version(dump: Dump, jobs: Item) -> None:
    mapping(dump, "by-version", jobs, f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:worker-4f2c1b9:3")


@style("M M M")
def second_mapping_with_a_filter(dump: Dump, jobs: Item) -> None:
    # What the filter does not match is deleted from the queue, so the two take away each other's messages.
    criteria = {"filters": [{"pattern": '{"body": {"kind": ["b"]}}'}]}
    mapping(dump, "filtered", jobs, "other", filterCriteria=criteria)


@style("- - -")
def second_mapping_that_is_off(dump: Dump, jobs: Item) -> None:
    mapping(dump, "off", jobs, "other", enabled=False)


@style("M M M")
def pipe(dump: Dump, jobs: Item) -> None:
    dump.add("aws:pipes/pipe:Pipe", "pipe", source=jobs.arn, target="arn:aws:events:r:0:event-bus/x", roleArn="x")


# ECS services: by their role's rights, and by what they know.


@style("a M M")
def service_with_its_own_role(dump: Dump, jobs: Item) -> None:
    service(dump, "poller", role(dump, "r", (RECEIVE, jobs.arn)).arn, containers({"QUEUE_URL": jobs.url}))


@style("a M M")
def service_of_awsx(dump: Dump, jobs: Item) -> None:
    component = dump.add("awsx:ecs:FargateService", "poller")
    task_role = role(dump, "r", (RECEIVE, jobs.arn))
    service(dump, "poller", task_role.arn, containers({"QUEUE_URL": jobs.url}), parent=component)


@style("a M M")
def policy_that_was_looked_up(dump: Dump, jobs: Item) -> None:
    # aws.iam.getPolicyDocumentOutput({statements: [{actions, resources: [queue.arn]}]}).json
    task_role = role(dump, "r")
    written_policy(dump, task_role, looked_up(statement(RECEIVE, jobs.arn)))
    service(dump, "poller", task_role.arn, containers({"QUEUE_URL": jobs.url}))


@style("a a M")
def managed_policy_that_was_looked_up(dump: Dump, jobs: Item) -> None:
    task_role = role(dump, "r")
    managed = dump.add("aws:iam/policy:Policy", "p", policy=looked_up(statement(RECEIVE, task_role.arn)))
    dump.add("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "a", role=task_role.id, policyArn=managed.arn)
    written_policy(dump, task_role, looked_up(statement(RECEIVE, jobs.arn), statement("s3:*", task_role.arn)))
    service(dump, "poller", task_role.arn, containers({"QUEUE_URL": jobs.url}))


@style("a a M")
def hard_coded_url_in_unknown_containers(dump: Dump, jobs: Item) -> None:
    # jsonStringify([{environment: [{QUEUE_URL: "https://..."}], logGroup: group.name}]) with rights on everything.
    group = dump.add("aws:cloudwatch/logGroup:LogGroup", "logs")
    task_role = role(dump, "r", ("sqs:*", "*"))
    service(dump, "poller", task_role.arn, containers({"QUEUE_URL": URL, "LOGS": group.id}))


@style("a a M")
def hard_coded_url_in_unknown_containers_with_full_access(dump: Dump, jobs: Item) -> None:
    group = dump.add("aws:cloudwatch/logGroup:LogGroup", "logs")
    task_role = role(dump, "r", managed=[FULL_ACCESS])
    service(dump, "poller", task_role.arn, containers({"QUEUE_URL": URL, "LOGS": group.id}))


@style("- - -")
def unknown_containers_that_know_another_queue(dump: Dump, jobs: Item) -> None:
    own = queue(dump, "own")
    service(dump, "other", role(dump, "r", ("sqs:*", "*")).arn, containers({"QUEUE_URL": own.url}))


@style("- - -")
def sender_that_does_not_know_the_queue(dump: Dump, jobs: Item) -> None:
    service(dump, "api", role(dump, "r", (SEND, jobs.arn)).arn, containers({"PORT": "80"}))


@style("a - -")
def sender_that_knows_the_queue(dump: Dump, jobs: Item) -> None:
    service(dump, "api", role(dump, "r", (SEND, jobs.arn)).arn, containers({"QUEUE_URL": jobs.url}))


@style("a - -")
def sender_with_secrets_that_nobody_sees(dump: Dump, jobs: Item) -> None:
    hidden = [{"name": "QUEUE_URL", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/queue"}]
    service(dump, "api", role(dump, "r", (SEND, jobs.arn)).arn, containers(secrets=hidden))


@style("a M M")
def poller_that_is_told_by_a_parameter(dump: Dump, jobs: Item) -> None:
    hidden = [{"name": "QUEUE_URL", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/queue"}]
    service(dump, "poller", role(dump, "r", (RECEIVE, jobs.arn)).arn, containers(secrets=hidden))


@style("a a M")
def role_that_was_looked_up(dump: Dump, jobs: Item) -> None:
    # aws.iam.getRoleOutput({name: <unknown>}).arn
    given = dump.add("aws:iam/role:Role", "r")
    service(dump, "poller", LookedUp(given.arn), containers({"QUEUE_URL": jobs.url}))
    policy(dump, given, RECEIVE, jobs.arn)


# Producers whose rights would let them receive: refused, until they are declared; then checked.


def producer_sharing_the_workers_role(dump: Dump, jobs: Item, tags: dict[str, Any] | None = None) -> None:
    shared = role(dump, "shared", ([*RECEIVE, *SEND], jobs.arn))
    function = dump.add("aws:lambda/function:Function", "second-worker", role=shared.arn)
    own = queue(dump, "own")
    mapping(dump, "own-mapping", own, function.arn)
    service(dump, "worker-service", shared.arn, containers({"QUEUE_URL": jobs.url}), desiredCount=0)
    service(dump, "api", shared.arn, containers({"QUEUE_URL": jobs.url}), tags=tags or {})


@style("a M M")
def shared_role(dump: Dump, jobs: Item) -> None:
    producer_sharing_the_workers_role(dump, jobs)


@style("- - -")
def shared_role_declared(dump: Dump, jobs: Item) -> None:
    producer_sharing_the_workers_role(dump, jobs, DECLARED)


@style("M M M")
def full_access(dump: Dump, jobs: Item) -> None:
    service(dump, "api", role(dump, "r", managed=[FULL_ACCESS]).arn, containers({"QUEUE_URL": jobs.url}))


@style("- - -")
def full_access_declared(dump: Dump, jobs: Item) -> None:
    given = role(dump, "r", managed=[FULL_ACCESS])
    service(dump, "api", given.arn, containers({"QUEUE_URL": jobs.url}), tags=DECLARED)


@style("M M M")
def role_from_elsewhere(dump: Dump, jobs: Item) -> None:
    service(dump, "api", f"arn:aws:iam::{ACCOUNT}:role/platform", containers({"QUEUE_URL": jobs.url}))


@style("- - -")
def role_from_elsewhere_declared(dump: Dump, jobs: Item) -> None:
    given = f"arn:aws:iam::{ACCOUNT}:role/platform"
    service(dump, "api", given, containers({"QUEUE_URL": jobs.url}), tags=DECLARED)


@style("- - -")
def declared_by_the_queues_own_name(dump: Dump, jobs: Item) -> None:
    # tags: {"one-queue-one-consumer/sends-only": queue.name}, which is unknown at first.
    given = role(dump, "r", managed=[FULL_ACCESS])
    service(dump, "api", given.arn, containers({"QUEUE_URL": jobs.url}), tags={SENDS_ONLY_TAG: jobs.id})


@style("- - -")
def narrowed_by_a_denial(dump: Dump, jobs: Item) -> None:
    given = role(dump, "r", managed=[FULL_ACCESS])
    written_policy(dump, given, document(statement("sqs:ReceiveMessage", "*", Effect="Deny")))
    service(dump, "api", given.arn, containers({"QUEUE_URL": jobs.url}))


@style("- M M")
def declared_but_its_own_role_names_receiving(dump: Dump, jobs: Item) -> None:
    given = role(dump, "r", ([*RECEIVE, *SEND], jobs.arn))
    service(dump, "api", given.arn, containers({"QUEUE_URL": jobs.url}), tags=DECLARED)


@style("- M M")
def declared_but_its_role_may_not_send(dump: Dump, jobs: Item) -> None:
    given = role(dump, "r", ("sqs:Receive*", jobs.arn))
    service(dump, "api", given.arn, containers({"QUEUE_URL": jobs.url}), tags=DECLARED)


@style("M M M")
def declared_but_scaled_by_the_queue(dump: Dump, jobs: Item) -> None:
    given = role(dump, "r", managed=[FULL_ACCESS])
    service(dump, "api", given.arn, containers({"QUEUE_URL": jobs.url}), tags=DECLARED, name="api")
    scaling = dump.add(
        "aws:appautoscaling/policy:Policy", "scaling", serviceNamespace="ecs", resourceId="service/main/api"
    )
    dump.add(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        "depth",
        metricName="ApproximateNumberOfMessagesVisible",
        dimensions={"QueueName": jobs.id},
        alarmActions=[scaling.arn],
    )


@style("M M M")
def declared_for_another_queue(dump: Dump, jobs: Item) -> None:
    given = role(dump, "r", managed=[FULL_ACCESS])
    tags = {SENDS_ONLY_TAG: "events dead-letters"}
    service(dump, "api", given.arn, containers({"QUEUE_URL": jobs.url}), tags=tags)


# Consumers of other kinds.


def scheduled_task(dump: Dump, jobs: Item, **switches: Any) -> None:
    given = task(dump, "poller", role(dump, "r", (RECEIVE, jobs.arn)).arn, containers({"QUEUE_URL": jobs.url}))
    rule = dump.add("aws:cloudwatch/eventRule:EventRule", "hourly", scheduleExpression="rate(1 hour)", **switches)
    dump.add(
        "aws:cloudwatch/eventTarget:EventTarget",
        "hourly",
        rule=rule.id,
        arn="arn:aws:ecs:us-east-1:000000000000:cluster/main",
        ecsTarget={"taskDefinitionArn": given.arn, "taskCount": 1, "launchType": "FARGATE"},
    )


@style("a M M")
def task_of_an_event_rule(dump: Dump, jobs: Item) -> None:
    scheduled_task(dump, jobs)


@style("- - -")
def task_of_a_disabled_rule(dump: Dump, jobs: Item) -> None:
    scheduled_task(dump, jobs, state="DISABLED")


@style("- - -")
def task_of_a_rule_with_the_older_switch(dump: Dump, jobs: Item) -> None:
    scheduled_task(dump, jobs, isEnabled=False)


@style("a M M")
def task_of_the_scheduler(dump: Dump, jobs: Item) -> None:
    given = task(dump, "poller", role(dump, "r", (RECEIVE, jobs.arn)).arn, containers({"QUEUE_URL": jobs.url}))
    target = {
        "arn": "arn:aws:ecs:us-east-1:000000000000:cluster/main",
        "roleArn": "arn:aws:iam::000000000000:role/scheduler",
        "ecsParameters": {"taskDefinitionArn": given.arn, "launchType": "FARGATE"},
    }
    dump.add("aws:scheduler/schedule:Schedule", "hourly", scheduleExpression="rate(1 hour)", target=target)


@style("M M M")
def task_that_is_told_the_queue_when_it_starts(dump: Dump, jobs: Item) -> None:
    given = task(dump, "poller", role(dump, "r", ("sqs:*", "*")).arn, containers())
    told = {"containerOverrides": [{"name": "main", "environment": [{"name": "QUEUE_URL", "value": jobs.url}]}]}
    dump.add(
        "aws:cloudwatch/eventTarget:EventTarget",
        "hourly",
        rule="hourly",
        arn="arn:aws:ecs:us-east-1:000000000000:cluster/main",
        ecsTarget={"taskDefinitionArn": given.arn},
        input=Text(json.dumps, told),
    )


@style("a M M")
def state_machine_that_receives(dump: Dump, jobs: Item) -> None:
    step = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sqs:receiveMessage",
        "Parameters": {"QueueUrl": jobs.url, "MaxNumberOfMessages": 10},
        "End": True,
    }
    state_machine(dump, role(dump, "r", (RECEIVE, jobs.arn)).arn, step)


@style("a M M")
def state_machine_that_receives_by_its_input(dump: Dump, jobs: Item) -> None:
    step = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sqs:receiveMessage",
        "Parameters": {"QueueUrl.$": "$.queue"},
    }
    branches = {"Type": "Parallel", "Branches": [{"StartAt": "a", "States": {"a": step}}]}
    state_machine(dump, role(dump, "r", (RECEIVE, jobs.arn)).arn, branches)


@style("a - -")
def state_machine_that_sends(dump: Dump, jobs: Item) -> None:
    step = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Parameters": {"QueueUrl": jobs.url}}
    state_machine(dump, role(dump, "r", (SEND, jobs.arn)).arn, step)


@style("a a M")
def state_machine_that_runs_a_task(dump: Dump, jobs: Item) -> None:
    given = task(dump, "poller", role(dump, "r", (RECEIVE, jobs.arn)).arn, containers({"QUEUE_URL": jobs.url}))
    step = {
        "Type": "Task",
        "Resource": "arn:aws:states:::ecs:runTask.sync",
        "Parameters": {"Cluster": "main", "TaskDefinition": given.arn},
    }
    state_machine(dump, "arn:aws:iam::000000000000:role/machine", step)


def batch_job(dump: Dump, jobs: Item) -> Item:
    given = role(dump, "r", (RECEIVE, jobs.arn))
    properties = {**containers({"QUEUE_URL": jobs.url}), "jobRoleArn": given.arn}
    return dump.add(
        "aws:batch/jobDefinition:JobDefinition",
        "poller",
        type="container",
        containerProperties=Text(json.dumps, properties),
    )


@style("a a a")
def batch_job_that_code_may_submit(dump: Dump, jobs: Item) -> None:
    batch_job(dump, jobs)


@style("a M M")
def batch_job_of_an_event_rule(dump: Dump, jobs: Item) -> None:
    job = batch_job(dump, jobs)
    dump.add(
        "aws:cloudwatch/eventTarget:EventTarget",
        "hourly",
        rule="hourly",
        arn="arn:aws:batch:us-east-1:000000000000:job-queue/main",
        batchTarget={"jobDefinition": job.arn, "jobName": "poll"},
    )


@style("a M M")
def app_runner_service(dump: Dump, jobs: Item) -> None:
    image = {"imageIdentifier": IMAGE, "imageConfiguration": {"runtimeEnvironmentVariables": {"QUEUE": jobs.url}}}
    dump.add(
        "aws:apprunner/service:Service",
        "poller",
        sourceConfiguration={"imageRepository": image},
        instanceConfiguration={"instanceRoleArn": role(dump, "r", (RECEIVE, jobs.arn)).arn},
    )


@style("a M M")
def instance_with_a_role(dump: Dump, jobs: Item) -> None:
    given = profile(dump, "p", role(dump, "r", (RECEIVE, jobs.arn)))
    script = Text(lambda url: f"#!/bin/sh\nexport QUEUE_URL={url}\n", jobs.url)
    dump.add("aws:ec2/instance:Instance", "poller", iamInstanceProfile=given.id, userData=script)


def scaling_group(dump: Dump, jobs: Item, maximum: int) -> None:
    given = profile(dump, "p", role(dump, "r", ("sqs:*", jobs.arn)))
    template = dump.add(
        "aws:ec2/launchTemplate:LaunchTemplate",
        "poller",
        iamInstanceProfile={"arn": given.arn},
        userData=user_data(jobs.url),
    )
    dump.add(
        "aws:autoscaling/group:Group",
        "pollers",
        minSize=0,
        maxSize=maximum,
        launchTemplate={"id": template.id, "version": "$Latest"},
    )


@style("a M M")
def auto_scaling_group(dump: Dump, jobs: Item) -> None:
    scaling_group(dump, jobs, 3)


@style("- - -")
def auto_scaling_group_of_none(dump: Dump, jobs: Item) -> None:
    scaling_group(dump, jobs, 0)


def function(dump: Dump, jobs: Item, given: Item, **rest: Any) -> Item:
    environment = {"variables": {"QUEUE_URL": jobs.url}}
    return dump.add("aws:lambda/function:Function", "poller", role=given.arn, environment=environment, **rest)


@style("a M M")
def function_that_polls_by_a_schedule(dump: Dump, jobs: Item) -> None:
    made = function(dump, jobs, role(dump, "r", (RECEIVE, jobs.arn)))
    dump.add("aws:cloudwatch/eventTarget:EventTarget", "minute", rule="minute", arn=made.arn)


@style("a M M")
def function_that_a_resource_policy_lets_a_schedule_call(dump: Dump, jobs: Item) -> None:
    made = function(dump, jobs, role(dump, "r", (RECEIVE, jobs.arn)), name="poller")
    caller = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "lambda:InvokeFunction"}
    text = document(caller)
    dump.add("aws:lambda/resourcePolicy:ResourcePolicy", "calls", resourceArn=made.arn, policy=text)


@style("a M M")
def function_that_a_permission_lets_a_schedule_call(dump: Dump, jobs: Item) -> None:
    made = function(dump, jobs, role(dump, "r", (RECEIVE, jobs.arn)))
    dump.add(
        "aws:lambda/permission:Permission",
        "calls",
        action="lambda:InvokeFunction",
        principal="scheduler.amazonaws.com",
        function=made.id,
    )


@style("- a a")
def function_that_may_poll(dump: Dump, jobs: Item) -> None:
    function(dump, jobs, role(dump, "r", (RECEIVE, jobs.arn)))


@style("- - -")
def function_that_sends(dump: Dump, jobs: Item) -> None:
    function(dump, jobs, role(dump, "r", (SEND, jobs.arn)))


@style("- - -")
def function_with_a_role_from_elsewhere(dump: Dump, jobs: Item) -> None:
    environment = {"variables": {"QUEUE_URL": jobs.url}}
    dump.add("aws:lambda/function:Function", "api", role="arn:aws:iam::0:role/x", environment=environment)


def deployment(dump: Dump, jobs: Item, given: Any, replicas: Any = 1, account: dict[str, Any] | None = None) -> None:
    dump.add(
        "kubernetes:core/v1:ServiceAccount",
        "poller",
        metadata=account or {"name": "poller", "annotations": {"eks.amazonaws.com/role-arn": given}},
    )
    container = {"name": "main", "image": IMAGE, "env": [{"name": "QUEUE_URL", "value": jobs.url}]}
    dump.add(
        "kubernetes:apps/v1:Deployment",
        "poller",
        metadata={"name": "poller"},
        spec={
            "replicas": replicas,
            "template": {"spec": {"serviceAccountName": "poller", "containers": [container]}},
        },
    )


@style("a M M")
def deployment_with_irsa(dump: Dump, jobs: Item) -> None:
    deployment(dump, jobs, role(dump, "r", (RECEIVE, jobs.arn)).arn)


@style("- - -")
def deployment_of_no_replicas(dump: Dump, jobs: Item) -> None:
    deployment(dump, jobs, role(dump, "r", (RECEIVE, jobs.arn)).arn, replicas=0)


@style("a M M")
def deployment_that_keda_scales_from_none(dump: Dump, jobs: Item) -> None:
    deployment(dump, jobs, role(dump, "r", (RECEIVE, jobs.arn)).arn, replicas=0)
    dump.add(
        "kubernetes:keda.sh/v1alpha1:ScaledObject",
        "poller",
        spec={"scaleTargetRef": {"name": "poller"}, "triggers": [{"type": "aws-sqs-queue"}]},
    )


@style("a M M")
def deployment_with_pod_identity(dump: Dump, jobs: Item) -> None:
    deployment(dump, jobs, None, account={"name": "poller"})
    dump.add(
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "poller",
        clusterName="main",
        namespace="default",
        serviceAccount="poller",
        roleArn=role(dump, "r", (RECEIVE, jobs.arn)).arn,
    )


@style("a a a")
def pod_identity_without_its_pods(dump: Dump, jobs: Item) -> None:
    dump.add(
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "poller",
        clusterName="main",
        namespace="default",
        serviceAccount="poller",
        roleArn=role(dump, "r", (RECEIVE, jobs.arn)).arn,
    )


def stack_of(add: Style) -> Dump:
    dump = Dump()
    jobs = queue(dump)
    fed_function(dump, jobs)
    add(dump, jobs)
    return dump


@pytest.mark.parametrize("moment", list(Moment), ids=lambda moment: moment.value)
@pytest.mark.parametrize("name", TABLE)
def test_a_style_gets_its_verdict(name: str, moment: Moment) -> None:
    verdicts, add = TABLE[name]
    assert verdict(stack_of(add), moment) == verdicts.split()[list(Moment).index(moment)]


def test_a_producer_may_be_declared_in_the_packs_configuration() -> None:
    settings = Settings(sends_only=(SendsOnly(workload="api", queue="jobs"),))
    for add in (full_access, role_from_elsewhere, shared_role):
        assert {verdict(stack_of(add), moment, settings) for moment in Moment} == {"-"}
    others = Settings(sends_only=(SendsOnly(workload="other", queue="jobs"), SendsOnly(workload="api", queue="other")))
    assert verdict(stack_of(full_access), Moment.KNOWN, others) == "M"


def test_a_refusal_names_the_ways_out_of_a_producer() -> None:
    (violation,) = judged(stack_of(shared_role).at(Moment.KNOWN))
    for part in ("sqs:ReceiveMessage", SENDS_ONLY_TAG, "'api'"):
        assert part in violation.message
    (violation,) = judged(stack_of(declared_but_its_role_may_not_send).at(Moment.KNOWN))
    assert "declared to send only, but its role may not send to the queue" in violation.message
