"""Pieces of stacks in the styles of real programs in Python and TypeScript: what they call and how they join it."""

import base64
import json
from typing import Any

from tests.policy.dumps import ACCOUNT, REGION, Dump, Item, LookedUp, Text

RECEIVE = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
SEND = ["sqs:SendMessage"]
FULL_ACCESS = "arn:aws:iam::aws:policy/AmazonSQSFullAccess"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop:1"


def queue(dump: Dump, name: str = "jobs", **rest: Any) -> Item:
    return dump.add("aws:sqs/queue:Queue", name, exists=True, visibilityTimeoutSeconds=180, **rest)


def fed_function(dump: Dump, source: Item, name: str = "worker", **rest: Any) -> Item:
    """A function behind a mapping, as the stack has it already."""
    role = dump.add("aws:iam/role:Role", f"{name}-role", exists=True)
    policy(dump, role, RECEIVE, source.arn)
    made = dump.add("aws:lambda/function:Function", name, exists=True, role=role.arn, timeout=30)
    mapping(dump, f"{name}-mapping", source, made.arn, **rest)
    return made


def mapping(dump: Dump, name: str, source: Item, function: Any, **rest: Any) -> Item:
    rest.setdefault("functionResponseTypes", ["ReportBatchItemFailures"])
    return dump.add(
        "aws:lambda/eventSourceMapping:EventSourceMapping",
        name,
        eventSourceArn=source.arn,
        functionName=function,
        **rest,
    )


def statement(actions: Any, resources: Any, **rest: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **rest}


def document(*statements: dict[str, Any]) -> Text:
    """``JSON.stringify`` in an ``apply``, ``pulumi.jsonStringify``, ``Output.json_dumps``."""
    return Text(json.dumps, {"Version": "2012-10-17", "Statement": list(statements)})


def looked_up(*statements: dict[str, Any]) -> LookedUp:
    """``aws.iam.getPolicyDocumentOutput``: its ``json`` is unknown as long as an argument is, and tied to nothing."""
    return LookedUp(Text(json.dumps, {"Version": "2012-10-17", "Statement": list(statements)}))


def policy(dump: Dump, role: Item | str, actions: Any, resources: Any) -> Item:
    return written_policy(dump, role, document(statement(actions, resources)))


def written_policy(dump: Dump, role: Item | str, text: Any) -> Item:
    name = f"{role if isinstance(role, str) else role.name}-policy-{len(dump.items)}"
    holder = role if isinstance(role, str) else role.id
    return dump.add("aws:iam/rolePolicy:RolePolicy", name, role=holder, policy=text)


def role(dump: Dump, name: str, *rights: tuple[Any, Any], managed: list[str] | None = None) -> Item:
    made = dump.add("aws:iam/role:Role", name, assumeRolePolicy="{}", managedPolicyArns=managed or [])
    for actions, resources in rights:
        policy(dump, made, actions, resources)
    return made


def containers(variables: dict[str, Any] | None = None, **rest: Any) -> dict[str, Any]:
    environment = [{"name": key, "value": value} for key, value in (variables or {}).items()]
    return {"name": "main", "image": IMAGE, "essential": True, "environment": environment, **rest}


def task(dump: Dump, name: str, task_role: Any, *defined: dict[str, Any]) -> Item:
    return dump.add(
        "aws:ecs/taskDefinition:TaskDefinition",
        f"{name}-task",
        family=name,
        taskRoleArn=task_role,
        containerDefinitions=Text(json.dumps, list(defined)),
    )


def service(
    dump: Dump, title: str, task_role: Any, *defined: dict[str, Any], parent: Item | None = None, **rest: Any
) -> Item:
    rest.setdefault("desiredCount", 1)
    made = task(dump, title, task_role, *defined)
    return dump.add("aws:ecs/service:Service", title, parent=parent, cluster="main", taskDefinition=made.arn, **rest)


def user_data(text: Any) -> Text:
    """A start script as launch templates have it."""
    return Text(lambda part: base64.b64encode(f"#!/bin/sh\nexport QUEUE_URL={part}\n".encode()).decode(), text)


def profile(dump: Dump, name: str, of: Item) -> Item:
    return dump.add("aws:iam/instanceProfile:InstanceProfile", name, role=of.id)


def state_machine(dump: Dump, machine_role: Any, *states: dict[str, Any]) -> Item:
    named = {f"step{index}": state for index, state in enumerate(states)}
    definition = Text(json.dumps, {"StartAt": "step0", "States": named})
    return dump.add("aws:sfn/stateMachine:StateMachine", "machine", roleArn=machine_role, definition=definition)
