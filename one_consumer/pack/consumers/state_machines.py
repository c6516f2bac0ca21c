"""State machines of Step Functions that receive messages by a step of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from one_consumer.pack.graph import UNKNOWN, Graph, Queue, Resource, parsed
from one_consumer.pack.knowledge import Knowledge
from one_consumer.pack.workloads import Program, Workload, principals_of

MACHINE: Final = "aws:sfn/stateMachine:StateMachine"
TYPES: Final = (MACHINE,)
RECEIVE: Final = ":aws-sdk:sqs:receivemessage"
"""How a step calls the API (Step Functions developer guide, supported-services-awssdk)."""


@dataclass(frozen=True)
class Step:
    """A task state: what it calls, with which arguments."""

    resource: str
    arguments: dict[str, Any]


def receivers(graph: Graph) -> Iterator[tuple[Queue, Resource, str, bool]]:
    """Each queue that a state machine says it receives from; the service then has its messages, whatever its role."""
    for machine in graph.of(MACHINE):
        steps = (step for step in steps_of(machine) if step.resource.lower().endswith(RECEIVE))
        urls = {url for step in steps if isinstance(url := step.arguments.get("QueueUrl"), str)}
        for queue in {queue.key: queue for url in sorted(urls) for queue in graph.queues_named(url)}.values():
            yield queue, machine, "state machine", True


def workloads(graph: Graph) -> Iterator[Workload]:
    """State machines whose definition is unknown, or which receive from a queue that only their input names."""
    for machine in graph.of(MACHINE):
        value = machine.value("definition")
        dynamic = any(
            step.resource.lower().endswith(RECEIVE) and not _names_a_queue(graph, step) for step in steps_of(machine)
        )
        if value is UNKNOWN or dynamic:
            knowledge = Knowledge.of(graph, machine, "definition", value, ())
            if dynamic:
                knowledge = Knowledge(knowledge.queues, readable=False)
            program = Program(principals_of(graph, machine, "roleArn"), knowledge)
            yield Workload(resource=machine, what="state machine", programs=(program,), started=dynamic)


def steps_of(machine: Resource) -> list[Step]:
    """The task states of a definition, those inside branches and iterations too."""
    return list(_steps_in(parsed(machine.value("definition"))))


def _steps_in(value: Any) -> Iterator[Step]:
    if isinstance(value, list):
        for item in value:
            yield from _steps_in(item)
    elif isinstance(value, dict):
        resource = value.get("Resource")
        if value.get("Type") == "Task" and isinstance(resource, str):
            # JSONPath calls them Parameters, JSONata Arguments.
            arguments = value.get("Parameters") or value.get("Arguments")
            yield Step(resource, arguments if isinstance(arguments, dict) else {})
        for item in value.values():
            yield from _steps_in(item)


def _names_a_queue(graph: Graph, step: Step) -> bool:
    url = step.arguments.get("QueueUrl")
    return isinstance(url, str) and bool(graph.queues_named(url))
