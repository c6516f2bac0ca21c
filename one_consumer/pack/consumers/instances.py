"""EC2 instances and Auto Scaling groups: machines with an instance profile, known by their start script."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from one_consumer.pack.graph import UNKNOWN, Graph, Resource
from one_consumer.pack.knowledge import Knowledge, words_of_text
from one_consumer.pack.workloads import Program, Workload, off_by_word, principals_of

INSTANCE: Final = "aws:ec2/instance:Instance"
LAUNCH_TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
LAUNCH_CONFIGURATION: Final = "aws:ec2/launchConfiguration:LaunchConfiguration"
GROUP: Final = "aws:autoscaling/group:Group"
PROFILE: Final = "aws:iam/instanceProfile:InstanceProfile"
TYPES: Final = (INSTANCE, LAUNCH_TEMPLATE, LAUNCH_CONFIGURATION, GROUP, PROFILE)
SCRIPTS: Final = ("userData", "userDataBase64")
TEMPLATES: Final = (
    ("launchTemplate", ()),
    ("mixedInstancesPolicy", ("launchTemplate", "launchTemplateSpecification")),
)
"""Where a group or an instance names its launch template."""


def workloads(graph: Graph) -> Iterator[Workload]:
    """Every instance, and every group that may have instances: one whose maximum is a written 0 has none."""
    fleets: dict[frozenset[str | None], Workload] = {}
    for instance in graph.of(INSTANCE):
        one = _workload(graph, instance, "EC2 instance", [instance, *_templates(graph, instance)])
        roles = frozenset(principal.key for program in one.programs for principal in program.principals)
        # Instances with one role are one consumer, as the instances of a group are.
        first = fleets.get(roles, one)
        programs = one.programs if first is one else (*first.programs, *one.programs)
        fleets[roles] = replace(first, programs=programs)
    yield from fleets.values()
    for group in graph.of(GROUP):
        if not off_by_word(group, "maxSize", 0):
            yield _workload(graph, group, "Auto Scaling group", _templates(graph, group))


def _workload(graph: Graph, resource: Resource, what: str, descriptions: list[Resource]) -> Workload:
    profiles = [profile for item in descriptions for profile in _profiles(graph, item)]
    principals = [principal for profile in profiles for principal in principals_of(graph, profile, "role")]
    knowledge = Knowledge()
    for item in descriptions:
        for name in SCRIPTS:
            value = item.value(name)
            if value is not None:
                knowledge |= Knowledge.of(graph, item, name, value, words_of_text(value))
    # Without a profile a machine has no rights of AWS at all.
    programs = (Program(tuple(principals), knowledge),) if principals else ()
    return Workload(resource=resource, what=what, programs=programs, parts=tuple(descriptions))


def _templates(graph: Graph, holder: Resource) -> list[Resource]:
    found = graph.referred(holder, "launchConfiguration", LAUNCH_CONFIGURATION)
    for name, path in TEMPLATES:
        for key in ("id", "name", "launchTemplateId", "launchTemplateName"):
            if holder.value(name, *path, key) is not None or holder.value(name) is UNKNOWN:
                found += graph.referred(holder, name, LAUNCH_TEMPLATE, path=(*path, key))
    return list({item.urn: item for item in found}.values())


def _profiles(graph: Graph, holder: Resource) -> list[Resource]:
    value = holder.value("iamInstanceProfile")
    if not isinstance(value, dict):
        return graph.referred(holder, "iamInstanceProfile", PROFILE)
    found = [
        profile
        for key in ("arn", "name")
        if value.get(key) is not None
        for profile in graph.referred(holder, "iamInstanceProfile", PROFILE, path=(key,))
    ]
    return list({item.urn: item for item in found}.values())
