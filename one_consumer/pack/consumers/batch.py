"""Batch job definitions. A job runs when it is submitted, by the stack or by code that no stack shows."""

from collections.abc import Iterator
from typing import Any, Final

from one_consumer.pack.graph import UNKNOWN, Graph, Resource, parsed
from one_consumer.pack.knowledge import Knowledge, words_of_containers
from one_consumer.pack.principals import Principal, each
from one_consumer.pack.workloads import ROLE, Program, principal_named

JOB: Final = "aws:batch/jobDefinition:JobDefinition"
TYPES: Final = (JOB,)
CONTAINERS: Final = ("containerProperties", "ecsProperties", "nodeProperties", "eksProperties")


def programs_of(graph: Graph, job: Resource) -> tuple[Program, ...]:
    """What a job runs: a container of its own, several on ECS, several nodes, or pods."""
    programs = []
    for name in CONTAINERS:
        value = parsed(job.value(name))
        if value is UNKNOWN:
            # A job has a role to start it too; until the text is known they cannot be distinguished.
            roles = graph.referred(job, name, ROLE)
            principals = tuple(Principal(resource=role) for role in roles) or (Principal(unknown=True),)
            programs.append(Program(principals, Knowledge.of(graph, job, name, value, ())))
        for role, containers in _parts(value) if isinstance(value, dict) else ():
            knowledge = Knowledge.of(graph, job, name, containers, words_of_containers(containers))
            programs.append(Program((principal_named(graph, role),), knowledge))
    return tuple(programs)


def _parts(properties: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """A role and the containers that have it, for each part of a job."""
    if "image" in properties:
        yield properties.get("jobRoleArn"), [properties]
    for task in each(properties.get("taskProperties"), dict):
        yield task.get("taskRoleArn"), task.get("containers")
    for node in each(properties.get("nodeRangeProperties"), dict):
        container = node.get("container")
        if isinstance(container, dict):
            yield container.get("jobRoleArn"), [container]
        nested = parsed(node.get("ecsProperties"))
        yield from _parts(nested) if isinstance(nested, dict) else ()
    pod = properties.get("podProperties")
    if isinstance(pod, dict):
        # The role is that of a Kubernetes service account, which is nowhere in the definition.
        yield None, pod.get("containers")
