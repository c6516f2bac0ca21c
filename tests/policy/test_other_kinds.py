"""Consumers beside mappings and ECS services: schedules, state machines, Batch, App Runner, EC2, functions, pods.

What is missed here shares a queue's messages unseen. The rows are those of ``tests/policy/test_styles.py``.
"""

import json
from typing import Any

import pytest

from tests.policy.dumps import Dump, Item, Moment, Text
from tests.policy.styles import (
    IMAGE,
    RECEIVE,
    SEND,
    containers,
    document,
    profile,
    queue,
    role,
    state_machine,
    task,
    user_data,
)
from tests.policy.table import Table

TABLE = Table()
style = TABLE.style


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


@style("- - -")
def task_of_two_rules_is_one_consumer(dump: Dump, jobs: Item) -> None:
    own = queue(dump, "own")
    given = task(dump, "poller", role(dump, "r", (RECEIVE, own.arn)).arn, containers({"QUEUE_URL": own.url}))
    for name in ("weekday", "weekend"):
        dump.add("aws:cloudwatch/eventTarget:EventTarget", name, rule=name, ecsTarget={"taskDefinitionArn": given.arn})


@style("- - -")
def state_machine_that_receives_in_two_steps_is_one_consumer(dump: Dump, jobs: Item) -> None:
    own = queue(dump, "own")
    step = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sqs:receiveMessage",
        "Parameters": {"QueueUrl": own.url},
    }
    state_machine(dump, role(dump, "r", (RECEIVE, own.arn)).arn, step, step)


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


@style("- - -")
def instances_with_one_role_are_one_consumer(dump: Dump, jobs: Item) -> None:
    own = queue(dump, "own")
    given = profile(dump, "p", role(dump, "r", (RECEIVE, own.arn)))
    for number in range(3):
        dump.add("aws:ec2/instance:Instance", f"poller-{number}", iamInstanceProfile=given.id)


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


def deployments_with_accounts_of_their_own(dump: Dump, jobs: Item, api_actions: list[str]) -> None:
    # Pulumi makes the accounts' names up: serviceAccountName: account.metadata.name
    for name, actions, replicas in (("api", api_actions, 2), ("worker", RECEIVE, 0)):
        annotations = {"eks.amazonaws.com/role-arn": role(dump, f"{name}-r", (actions, jobs.arn)).arn}
        account = dump.add(
            "kubernetes:core/v1:ServiceAccount",
            name,
            metadata={"name": f"{name}-4f2c1b9", "namespace": "shop", "annotations": annotations},
        )
        container = {"name": "main", "env": [{"name": "QUEUE_URL", "value": jobs.url}]}
        pod = {"serviceAccountName": account.id, "containers": [container]}
        dump.add(
            "kubernetes:apps/v1:Deployment",
            f"{name}-pods",
            metadata={"namespace": "shop"},
            spec={"replicas": replicas, "template": {"spec": pod}},
        )


@style("a - -")
def pod_that_sends_beside_an_account_that_may_receive(dump: Dump, jobs: Item) -> None:
    deployments_with_accounts_of_their_own(dump, jobs, SEND)


@style("a M M")
def pod_with_an_account_whose_name_is_made_up(dump: Dump, jobs: Item) -> None:
    deployments_with_accounts_of_their_own(dump, jobs, RECEIVE)


@style("a - -")
def account_of_another_namespace(dump: Dump, jobs: Item) -> None:
    deployment(dump, jobs, None, account={"name": "poller"})
    annotations = {"eks.amazonaws.com/role-arn": role(dump, "r", (SEND, jobs.arn)).arn}
    metadata = {"name": "poller", "namespace": "other", "annotations": annotations}
    dump.add("kubernetes:core/v1:ServiceAccount", "other", metadata=metadata)


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


@pytest.mark.parametrize("moment", list(Moment), ids=lambda moment: moment.value)
@pytest.mark.parametrize("name", TABLE.rows)
def test_a_style_gets_its_verdict(name: str, moment: Moment) -> None:
    TABLE.check(name, moment)
