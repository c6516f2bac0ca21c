"""Between Pulumi's policy protocol and the rules: one Pulumi policy a code. It decides nothing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ReportViolation,
    StackValidation,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from policy.graph import UNKNOWN, Graph, Resource
from policy.rules import RULES, Code, Rule

NAME = "one-queue-one-consumer"


def policies() -> list[Policy]:
    """Every code as a policy, so that each has a level of its own, which a configuration of the pack may change."""
    return [
        StackValidationPolicy(
            name=code.policy_name,
            description=code.value,
            enforcement_level=EnforcementLevel.MANDATORY if code.mandatory else EnforcementLevel.ADVISORY,
            validate=_validation(rule, code),
        )
        for rule, codes in RULES.items()
        for code in codes
    ]


def _validation(rule: Rule, code: Code) -> StackValidation:
    def validate(args: StackValidationArgs, report_violation: ReportViolation) -> None:
        for violation in rule(graph_of(args.resources)):
            if violation.code is code:
                report_violation(violation.message, violation.urn)

    return validate


def graph_of(resources: Iterable[PolicyResource]) -> Graph:
    """The stack as Pulumi shows it to a policy."""
    return Graph(
        Resource(
            urn=resource.urn,
            type=resource.resource_type,
            name=resource.name,
            properties={key: _plain(resource.props, key) for key in resource.props},
            property_dependencies={
                key: frozenset(dependency.urn for dependency in dependencies)
                for key, dependencies in resource.property_dependencies.items()
            },
            dependencies=frozenset(dependency.urn for dependency in resource.dependencies),
            parent=resource.parent.urn if resource.parent else None,
            ignored=frozenset(resource.opts.ignore_changes),
        )
        for resource in resources
    )


def _plain(container: Any, key: Any) -> Any:
    """A value without Pulumi's wrapping, which raises where an unknown value is read."""
    try:
        value = container[key]
    except UnknownValueError:
        return UNKNOWN
    if isinstance(value, Mapping):
        return {inner: _plain(value, inner) for inner in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(value, index) for index in range(len(value))]
    return value
