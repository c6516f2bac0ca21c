"""Resources of other providers that make the same things: AWS Native, Cloud Control, and CloudFormation's own types.

All three speak CloudFormation's schemas (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/), so
one table turns them into what the AWS provider would show, which is all that the rules know. A type that is not in the
table is not judged.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from one_consumer.pack.graph import QUEUE, UNKNOWN, Resource, parsed

CLOUD_CONTROL: Final = "aws:cloudcontrol/resource:Resource"
FREE: Final = frozenset({"policyDocument", "policy", "variables", "redrivePolicy", "definition", "tags", "parameters"})
"""Properties that hold names of somebody's own, which are not to be changed."""
Properties = dict[str, Any]


@dataclass(frozen=True)
class Twin:
    """How a type is called by the AWS provider.

    Attributes:
        type: its token there.
        names: properties that are called otherwise there.
        reshape: what else has to be put in another form.
    """

    type: str
    names: Mapping[str, str] = field(default_factory=dict)
    reshape: Callable[[Properties], Properties] | None = None


def _inline_policies(properties: Properties) -> Properties:
    policies = properties.get("policies")
    inline = [
        {"name": item.get("policyName"), "policy": item.get("policyDocument")}
        for item in (policies if isinstance(policies, list) else ())
        if isinstance(item, Mapping)
    ]
    return {**properties, "inlinePolicies": UNKNOWN if policies is UNKNOWN else inline}


def _of_template_data(properties: Properties) -> Properties:
    data = properties.get("launchTemplateData")
    if data is UNKNOWN:
        return {**properties, "iamInstanceProfile": UNKNOWN, "userData": UNKNOWN}
    return {**properties, **(data if isinstance(data, Mapping) else {})}


def _number(name: str) -> Callable[[Properties], Properties]:
    def reshape(properties: Properties) -> Properties:
        value = properties.get(name)
        return {**properties, name: int(value) if isinstance(value, str) and value.isdigit() else value}

    return reshape


def _failure_destination(properties: Properties) -> Properties:
    destination = properties.get("destinationConfig")
    failure = destination.get("onFailure") if isinstance(destination, Mapping) else None
    if isinstance(failure, Mapping):
        properties = {
            **properties,
            "destinationConfig": {"onFailure": {"destinationArn": failure.get("destination")}},
        }
    enabled = properties.get("enabled")
    return {**properties, "enabled": {"true": True, "false": False}.get(enabled, enabled)} if enabled else properties


def _first_role(properties: Properties) -> Properties:
    roles = properties.get("roles")
    return {**properties, "role": roles[0] if isinstance(roles, list) and roles else roles}


def _variables_by_name(properties: Properties) -> Properties:
    """App Runner's variables, which CloudFormation writes as a list, as names and values."""
    source = properties.get("sourceConfiguration")
    image = source.get("imageRepository") if isinstance(source, Mapping) else None
    configuration = image.get("imageConfiguration") if isinstance(image, Mapping) else None
    variables = configuration.get("runtimeEnvironmentVariables") if isinstance(configuration, Mapping) else None
    if not isinstance(variables, list):
        return properties
    named = {str(item.get("name")): item.get("value") for item in variables if isinstance(item, Mapping)}
    changed = {"imageRepository": {"imageConfiguration": {"runtimeEnvironmentVariables": named}}}
    return {**properties, "sourceConfiguration": changed}


TWINS: Final[Mapping[str, Twin]] = {
    "AWS::SQS::Queue": Twin(
        QUEUE, {"queueName": "name", "queueUrl": "url", "visibilityTimeout": "visibilityTimeoutSeconds"}
    ),
    "AWS::SQS::QueuePolicy": Twin(
        "aws:sqs/queuePolicy:QueuePolicy", {"queues": "queueUrl", "policyDocument": "policy"}
    ),
    "AWS::Lambda::EventSourceMapping": Twin(
        "aws:lambda/eventSourceMapping:EventSourceMapping", reshape=_failure_destination
    ),
    "AWS::Lambda::Function": Twin("aws:lambda/function:Function", {"functionName": "name"}),
    "AWS::Lambda::Alias": Twin("aws:lambda/alias:Alias", {"aliasArn": "arn"}),
    "AWS::Pipes::Pipe": Twin("aws:pipes/pipe:Pipe"),
    "AWS::ECS::Cluster": Twin("aws:ecs/cluster:Cluster", {"clusterName": "name"}),
    "AWS::ECS::Service": Twin("aws:ecs/service:Service", {"serviceName": "name", "serviceArn": "arn"}),
    "AWS::ECS::TaskDefinition": Twin("aws:ecs/taskDefinition:TaskDefinition", {"taskDefinitionArn": "arn"}),
    "AWS::ECS::TaskSet": Twin("aws:ecs/taskSet:TaskSet"),
    "AWS::ApplicationAutoScaling::ScalableTarget": Twin("aws:appautoscaling/target:Target"),
    "AWS::IAM::Role": Twin("aws:iam/role:Role", {"roleName": "name"}, _inline_policies),
    "AWS::IAM::RolePolicy": Twin("aws:iam/rolePolicy:RolePolicy", {"roleName": "role", "policyDocument": "policy"}),
    "AWS::IAM::Policy": Twin("aws:iam/rolePolicy:RolePolicy", {"roles": "role", "policyDocument": "policy"}),
    "AWS::IAM::ManagedPolicy": Twin(
        "aws:iam/policy:Policy", {"policyDocument": "policy", "managedPolicyName": "name", "policyArn": "arn"}
    ),
    "AWS::IAM::InstanceProfile": Twin(
        "aws:iam/instanceProfile:InstanceProfile", {"instanceProfileName": "name"}, _first_role
    ),
    "AWS::Events::Rule": Twin("aws:cloudwatch/eventRule:EventRule"),
    "AWS::Scheduler::Schedule": Twin("aws:scheduler/schedule:Schedule"),
    "AWS::StepFunctions::StateMachine": Twin(
        "aws:sfn/stateMachine:StateMachine", {"definitionString": "definition", "stateMachineName": "name"}
    ),
    "AWS::Batch::JobDefinition": Twin("aws:batch/jobDefinition:JobDefinition", {"jobDefinitionName": "name"}),
    "AWS::AppRunner::Service": Twin("aws:apprunner/service:Service", reshape=_variables_by_name),
    "AWS::EC2::Instance": Twin("aws:ec2/instance:Instance"),
    "AWS::EC2::LaunchTemplate": Twin(
        "aws:ec2/launchTemplate:LaunchTemplate",
        {"launchTemplateName": "name", "launchTemplateId": "id"},
        _of_template_data,
    ),
    "AWS::AutoScaling::AutoScalingGroup": Twin("aws:autoscaling/group:Group", reshape=_number("maxSize")),
    "AWS::EKS::PodIdentityAssociation": Twin("aws:eks/podIdentityAssociation:PodIdentityAssociation"),
}
RESHAPED: Final = {"policies": "inlinePolicies", "launchTemplateData": "userData"}
"""Properties that ``reshape`` puts under another name, and so their dependencies."""
NATIVE: Final = {f"aws-native:{kind.split('::')[1].lower()}:{kind.split('::')[2]}": kind for kind in TWINS}
"""AWS Native's token for each type."""
TYPES: Final = (CLOUD_CONTROL, *NATIVE)


def translated(resource: Resource) -> list[Resource]:
    """A resource as the AWS provider would show it; several when one of CloudFormation's is several there."""
    if resource.type in NATIVE:
        return list(of_schema(resource, NATIVE[resource.type], dict(resource.properties)))
    kind = resource.text("typeName") if resource.type == CLOUD_CONTROL else None
    if kind not in TWINS:
        return [resource]
    made_of = resource.property_dependencies.get("desiredState", frozenset())
    texts = [parsed(resource.value(name)) for name in ("desiredState", "properties")]
    known = {key: value for text in texts if isinstance(text, Mapping) for key, value in text.items()}
    return list(of_schema(resource, kind, None if texts[0] is UNKNOWN else known, made_of))


def of_schema(
    resource: Resource, kind: str, properties: Properties | None, made_of: frozenset[str] | None = None
) -> Iterator[Resource]:
    """What CloudFormation's type ``kind`` is to the AWS provider.

    Args:
        resource: what the program wrote, for its URN, name and dependencies.
        kind: a type in ``TWINS``.
        properties: by CloudFormation's names, or with small first letters; None when they are all unknown.
        made_of: the URNs that all of them are made of, where the resource does not say it property by property.
    """
    twin = TWINS[kind]
    plain: Properties = _Unknowns()
    if properties is not None:
        plain = {twin.names.get(key, key): value for key, value in camel_cased(properties).items()}
        plain = twin.reshape(plain) if twin.reshape else plain
    lowered = {_lowered(key): urns for key, urns in resource.property_dependencies.items()}
    made = Resource(
        urn=resource.urn,
        type=twin.type,
        name=resource.name,
        properties=plain,
        property_dependencies=_Dependencies(made_of)
        if made_of is not None
        else {
            **{twin.names.get(key, key): urns for key, urns in lowered.items()},
            **{new: lowered[old] for old, new in RESHAPED.items() if old in lowered},
        },
        dependencies=resource.dependencies,
        parent=resource.parent,
        ignored=frozenset(map(_lowered, resource.ignored)),
    )
    yield made
    yield from _others(kind, made)


class _Unknowns(dict[str, Any]):
    """Whatever is asked for is unknown."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - a mapping's method
        return UNKNOWN


class _Dependencies(dict[str, frozenset[str]]):
    """Whatever is asked for is made of the same."""

    def __init__(self, urns: frozenset[str]) -> None:
        super().__init__()
        self._urns = urns

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - a mapping's method
        return self._urns


def _others(kind: str, made: Resource) -> Iterator[Resource]:
    """What is a resource of its own to the AWS provider: a rule's targets, the roles of a managed policy."""
    if kind == "AWS::Events::Rule":
        targets = made.value("targets")
        for index, target in enumerate(targets if isinstance(targets, list) else ()):
            if isinstance(target, Mapping):
                properties = {
                    "rule": made.urn,
                    "arn": target.get("arn"),
                    "input": target.get("input"),
                    "ecsTarget": target.get("ecsParameters"),
                    "batchTarget": target.get("batchParameters"),
                }
                yield _part(
                    made, f"{made.name}-{index}", "aws:cloudwatch/eventTarget:EventTarget", properties, "targets"
                )
    if kind == "AWS::IAM::ManagedPolicy" and made.value("roles") is not None:
        properties = {"roles": made.value("roles"), "policyArn": UNKNOWN}
        attachment = "aws:iam/policyAttachment:PolicyAttachment"
        yield _part(made, f"{made.name}-roles", attachment, properties, "roles")


def _part(made: Resource, name: str, kind: str, properties: Properties, of: str) -> Resource:
    dependencies = dict.fromkeys(properties, made.property_dependencies.get(of, frozenset()))
    own = {"rule": frozenset({made.urn}), "policyArn": frozenset({made.urn})}
    unknown_rule = {"rule": UNKNOWN} if "rule" in properties else {}
    return Resource(
        urn=f"{made.urn}/{name}",
        type=kind,
        name=name,
        properties={**properties, **unknown_rule},
        property_dependencies={**dependencies, **{key: own[key] for key in own if key in properties}},
        parent=made.parent,
    )


def camel_cased(value: Any) -> Any:
    """A value with CloudFormation's names as the providers write them: ``QueueName`` as ``queueName``."""
    if isinstance(value, Mapping):
        lowered = ((_lowered(key), item) for key, item in value.items())
        return {key: item if key in FREE else camel_cased(item) for key, item in lowered}
    return [camel_cased(item) for item in value] if isinstance(value, list) else value


def _lowered(key: str) -> str:
    return key[:1].lower() + key[1:]
