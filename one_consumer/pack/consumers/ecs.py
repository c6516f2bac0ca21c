"""ECS services: may they have tasks, and of which definitions? What tasks may do is decided elsewhere."""

from collections.abc import Iterator
from typing import Any, Final

from one_consumer.pack.graph import UNKNOWN, Graph, Resource, parsed
from one_consumer.pack.knowledge import Knowledge, words_of_containers
from one_consumer.pack.workloads import Program, Workload, principals_of

CLUSTER: Final = "aws:ecs/cluster:Cluster"
SCALABLE_TARGET: Final = "aws:appautoscaling/target:Target"
SCHEDULED_ACTION: Final = "aws:appautoscaling/scheduledAction:ScheduledAction"
SERVICE: Final = "aws:ecs/service:Service"
TASK: Final = "aws:ecs/taskDefinition:TaskDefinition"
TASK_SET: Final = "aws:ecs/taskSet:TaskSet"
EXPRESS: Final = "aws:ecs/expressGatewayService:ExpressGatewayService"
DAEMON: Final = "aws:ecs/daemon:Daemon"
DAEMON_TASK: Final = "aws:ecs/daemonTaskDefinition:DaemonTaskDefinition"
TYPES: Final = (
    *(CLUSTER, SCALABLE_TARGET, SCHEDULED_ACTION, SERVICE, TASK, TASK_SET),
    *(EXPRESS, DAEMON, DAEMON_TASK),
)
DEFAULT_CLUSTER = "default"


def workloads(graph: Graph) -> Iterator[Workload]:
    """Services that may have tasks; a task set represents a service elsewhere."""
    scaled_up = _scaled_above_zero(graph)
    for service in graph.of(SERVICE):
        if service.urn in scaled_up or not _is_off(service):
            yield _workload(graph, service, "ECS service", _definitions(graph, service))
    for task_set in graph.of(TASK_SET):
        if _has_share(task_set) and not _services_of(graph, task_set):
            yield _workload(graph, task_set, "ECS task set", graph.referred(task_set, "taskDefinition", TASK))
    for daemon in graph.of(DAEMON):
        tasks = graph.referred(daemon, "daemonTaskDefinitionArn", DAEMON_TASK)
        yield _workload(graph, daemon, "ECS daemon", tasks)
    for service in graph.of(EXPRESS):
        programs = (program_of(graph, service, "primaryContainer"),)
        yield Workload(resource=service, what="ECS express service", programs=programs)


def program_of(graph: Graph, definition: Resource, containers: str = "containerDefinitions") -> Program:
    """What a task of a definition runs, and the role that it has."""
    value = parsed(definition.value(containers))
    knowledge = Knowledge.of(graph, definition, containers, value, words_of_containers(value))
    return Program(principals_of(graph, definition, "taskRoleArn"), knowledge)


def _workload(graph: Graph, resource: Resource, what: str, tasks: list[Resource]) -> Workload:
    programs = tuple(program_of(graph, task) for task in tasks)
    return Workload(resource=resource, what=what, programs=programs, parts=tuple(tasks))


def _is_off(service: Resource) -> bool:
    """Is a service off, but for its scaling? Off is desired count 0, written down and not ignored.

    An unset count counts as on, though the provider makes it 0: CloudFormation makes it 1, and off should be readable.
    A DAEMON service puts a task on every instance, whatever its count
    (https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html).
    """
    return service.switch("schedulingStrategy") in (None, "REPLICA") and service.switch("desiredCount") == 0


def _scaled_above_zero(graph: Graph) -> set[str]:
    """The URNs of services that something may scale above 0.

    Scaling moves a count of 0 to its minimum, or up to its maximum
    (https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html), and a scheduled
    action gives a target new ones
    (https://docs.aws.amazon.com/autoscaling/application/userguide/scheduled-scaling-policy-overview.html).
    """
    return {
        service.urn
        for scaling in graph.of(SCALABLE_TARGET, SCHEDULED_ACTION)
        if scaling.value("serviceNamespace") in ("ecs", UNKNOWN) and _reaches_above_zero(scaling)
        for service in scaled(graph, scaling)
    }


def _reaches_above_zero(scaling: Resource) -> bool:
    if scaling.type == SCALABLE_TARGET:
        return scaling.switch("maxCapacity") != 0
    ignored = scaling.switch("scalableTargetAction") is UNKNOWN
    bounds = [scaling.value("scalableTargetAction", bound) for bound in ("minCapacity", "maxCapacity")]
    # A bound that is not set stays as the target has it.
    return ignored or any(bound not in (None, 0, "0") for bound in bounds)


def scaled(graph: Graph, scaling: Resource) -> list[Resource]:
    """The services behind the ``service/<cluster>/<name>`` of a scalable target, or of what acts on one.

    The name alone may be another cluster's.
    """
    text = scaling.text("resourceId")
    if text is not None:
        cluster = text.split("/")[-2] if "/" in text else UNKNOWN
        return [item for item in graph.named(text, SERVICE) if _may_be_in(graph, item, {cluster})]
    services = graph.referred(scaling, "resourceId", SERVICE)
    if scaling.type != SCALABLE_TARGET:
        # It is written with the target's own property, so before the update nothing but the target is known of it.
        targets = graph.referred(scaling, "resourceId", SCALABLE_TARGET)
        services += [service for target in targets for service in scaled(graph, target)]
    return services


def _definitions(graph: Graph, service: Resource) -> list[Resource]:
    """Task definitions of a service: its own, or with an external deployment controller those of its task sets.

    A task set has a share of the service's tasks
    (https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateTaskSet.html).
    """
    sets = (item for item in graph.of(TASK_SET) if _has_share(item) and service in _services_of(graph, item))
    return [task for holder in (service, *sets) for task in graph.referred(holder, "taskDefinition", TASK)]


def _has_share(task_set: Resource) -> bool:
    return task_set.switch("scale") is UNKNOWN or task_set.value("scale", "value") != 0


def _services_of(graph: Graph, task_set: Resource) -> list[Resource]:
    services = graph.referred(task_set, "service", SERVICE)
    return [service for service in services if _may_be_in(graph, service, _clusters(graph, task_set))]


def _may_be_in(graph: Graph, service: Resource, clusters: set[Any]) -> bool:
    own = _clusters(graph, service)
    return UNKNOWN in own | clusters or bool(own & clusters)


def _clusters(graph: Graph, holder: Resource) -> set[Any]:
    """The names of what may be a service's cluster; ``UNKNOWN`` among them while one is."""
    value = holder.value("cluster")
    if not isinstance(value, str) and value is not UNKNOWN:
        return {DEFAULT_CLUSTER}
    names: set[Any] = {item.text("name") or UNKNOWN for item in graph.referred(holder, "cluster", CLUSTER)}
    return names | {value.rsplit("/", 1)[-1]} if isinstance(value, str) else names or {UNKNOWN}
