"""ECS tasks and Batch jobs that a schedule, an event or a state machine starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from one_consumer.pack.consumers.batch import JOB, programs_of
from one_consumer.pack.consumers.ecs import TASK, program_of
from one_consumer.pack.consumers.schedules import rule_targets, schedules
from one_consumer.pack.consumers.state_machines import MACHINE, Step, steps_of
from one_consumer.pack.graph import UNKNOWN, Graph, Resource, parsed
from one_consumer.pack.knowledge import Knowledge, words_of_containers
from one_consumer.pack.principals import each
from one_consumer.pack.workloads import Program, Workload

TYPES: Final[tuple[str, ...]] = ()
"""It reads only what other modules do."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """That something starts a task or a job.

    Attributes:
        by: the schedule, the rule's target or the state machine.
        definitions: the task or job definition, or several while it is unknown which.
        name: the property that holds the overrides, and what it holds.
        sure: is it known that it starts them?
    """

    by: Resource
    what: str
    definitions: list[Resource]
    name: str
    overrides: Any = None
    sure: bool = True


def workloads(graph: Graph) -> Iterator[Workload]:
    """Tasks and jobs that the stack starts, and jobs that may be submitted by what it does not show."""
    started: dict[str, Workload] = {}
    for start in _starts(graph):
        for definition in start.definitions:
            job = definition.type == JOB
            programs = programs_of(graph, definition) if job else (program_of(graph, definition),)
            what = f"{start.what} {'Batch job' if job else 'ECS task'}"
            overridden = tuple(_with_overrides(graph, start, program) for program in programs)
            # Two schedules of one task are one consumer, as one schedule is that starts it twice.
            first = started.get(definition.urn)
            started[definition.urn] = Workload(
                resource=first.resource if first else start.by,
                what=first.what if first else what,
                programs=(*(first.programs if first else ()), *overridden),
                parts=(definition,),
                started=start.sure or (first is not None and first.started),
            )
    yield from started.values()
    for job in graph.of(JOB):
        if job.urn not in started:
            programs = programs_of(graph, job)
            yield Workload(resource=job, what="Batch job definition", programs=programs, started=False)


def _starts(graph: Graph) -> Iterator[Start]:
    for target in rule_targets(graph):
        overrides = parsed(target.value("input"))
        for name, key, kind in (("ecsTarget", "taskDefinitionArn", TASK), ("batchTarget", "jobDefinition", JOB)):
            definitions = graph.referred(target, name, kind, path=(key,)) if target.value(name) is not None else []
            yield Start(by=target, what="event's", definitions=definitions, name="input", overrides=overrides)
    for schedule in schedules(graph):
        overrides = parsed(schedule.value("target", "input"))
        definitions = graph.referred(schedule, "target", TASK, path=("ecsParameters", "taskDefinitionArn"))
        for step in [Step(schedule.text("target", "arn") or "", overrides)] if isinstance(overrides, dict) else []:
            definitions += _definitions_of(graph, schedule, "target", step)
        yield Start(by=schedule, what="scheduled", definitions=definitions, name="target", overrides=overrides)
    for machine in graph.of(MACHINE):
        if machine.value("definition") is UNKNOWN:
            definitions = graph.referred(machine, "definition", TASK, JOB)
            yield Start(by=machine, what="state machine's", definitions=definitions, name="definition", sure=False)
        for step in steps_of(machine):
            definitions = _definitions_of(graph, machine, "definition", step)
            yield Start(
                by=machine,
                what="state machine's",
                definitions=definitions,
                name="definition",
                overrides=step.arguments.get("Overrides") or step.arguments.get("ContainerOverrides"),
            )


def _definitions_of(graph: Graph, holder: Resource, name: str, step: Step) -> list[Resource]:
    """The task or job definitions that a call of AWS's API names."""
    for call, key, kind in (("runtask", "TaskDefinition", TASK), ("submitjob", "JobDefinition", JOB)):
        if call in step.resource.lower():
            value = step.arguments.get(key)
            if isinstance(value, str):
                return graph.named(value, kind)
            return graph.referred(holder, name, kind)
    return []


def _with_overrides(graph: Graph, start: Start, program: Program) -> Program:
    """A program that gets more when it is started: variables and arguments; another role is not read."""
    overrides = start.overrides
    if overrides is None:
        return program
    containers = overrides
    if isinstance(overrides, dict):
        containers = overrides.get("containerOverrides") or overrides.get("ContainerOverrides") or [overrides]
    lowered = [_lowered(item) for item in each(containers, dict)]
    value = UNKNOWN if overrides is UNKNOWN else lowered
    knowledge = Knowledge.of(graph, start.by, start.name, value, words_of_containers(lowered))
    return Program(program.principals, program.knowledge | knowledge)


def _lowered(container: dict[str, Any]) -> dict[str, Any]:
    """A container's override with names as in a definition; state machines write ``Environment`` and ``Name``."""
    plain = {key[:1].lower() + key[1:]: value for key, value in container.items()}
    variables = each(plain.get("environment"), dict)
    plain["environment"] = [{key.lower(): value for key, value in variable.items()} for variable in variables]
    return plain
