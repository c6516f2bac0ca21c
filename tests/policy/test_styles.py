"""Stacks in the styles of real programs at three moments. A false refusal makes a team drop the guard; so does silence.

Each row: what a program adds beside a queue ``jobs`` that a mapping feeds a function from, and the verdict at the first
preview, at a preview over the existing queue, and when everything is known: M mandatory, a advisory, - none.
"""

from typing import Any

import pytest

from one_consumer.pack.declarations import SENDS_ONLY_TAG
from one_consumer.pack.settings import SendsOnly, Settings
from tests.policy.dumps import ACCOUNT, REGION, Dump, Item, LookedUp, Moment
from tests.policy.recorded import judged
from tests.policy.styles import (
    FULL_ACCESS,
    RECEIVE,
    SEND,
    containers,
    document,
    looked_up,
    mapping,
    policy,
    queue,
    role,
    service,
    statement,
    written_policy,
)
from tests.policy.table import Table, stack_of, verdict

TABLE = Table()
style = TABLE.style
URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/jobs-4f2c1b9"
ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs-4f2c1b9"
DECLARED = {SENDS_ONLY_TAG: "jobs"}


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


@pytest.mark.parametrize("moment", list(Moment), ids=lambda moment: moment.value)
@pytest.mark.parametrize("name", TABLE.rows)
def test_a_style_gets_its_verdict(name: str, moment: Moment) -> None:
    TABLE.check(name, moment)


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
