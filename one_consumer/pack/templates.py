"""CloudFormation templates that a stack carries as a text: what they make, as the AWS provider would show it.

References inside a template become dependencies, as Pulumi writes them, because what they refer to gets its name while
the template is deployed. https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from one_consumer.pack.graph import UNKNOWN, Resource
from one_consumer.pack.twins import TWINS, of_schema

STACK: Final = "aws:cloudformation/stack:Stack"
NATIVE_STACK: Final = "aws-native:cloudformation:Stack"
TYPES: Final = (STACK, NATIVE_STACK)
SERVERLESS_FUNCTION: Final = "AWS::Serverless::Function"
IN_TEXT: Final = re.compile(r"\$\{([^!}][^}]*)\}")
"""A reference inside ``Fn::Sub``; ``${!x}`` is no reference."""


class TemplateError(ValueError):
    """A template cannot be read; the text says why."""


def resources_of(stack: Resource) -> Iterator[Resource]:
    """The resources that a stack's template makes and that the table of types knows.

    Raises:
        TemplateError: the template is no JSON or YAML, or is unknown before the update.
    """
    body = stack.value("templateBody")
    if body is None:
        return
    template = _read(body)
    reader = _Reader(stack, template)
    resources = template.get("Resources")
    for logical, item in resources.items() if isinstance(resources, Mapping) else ():
        if isinstance(item, Mapping):
            yield from reader.resources(str(logical), str(item.get("Type")), item.get("Properties"))


class _Reader:
    """Reads one template: its parameters have the values that the stack gives them."""

    def __init__(self, stack: Resource, template: Mapping[str, Any]) -> None:
        self._stack = stack
        self._template = template
        given = stack.value("parameters")
        declared = template.get("Parameters")
        defaults = {
            str(name): item.get("Default")
            for name, item in (declared.items() if isinstance(declared, Mapping) else ())
            if isinstance(item, Mapping)
        }
        self._parameters = {**defaults, **(given if isinstance(given, Mapping) else {})}
        if given is UNKNOWN:
            self._parameters = dict.fromkeys(defaults, UNKNOWN)

    def resources(self, logical: str, kind: str, properties: Any) -> Iterator[Resource]:
        """What a resource of the template is to the AWS provider."""
        written = properties if isinstance(properties, Mapping) else {}
        if kind == SERVERLESS_FUNCTION:
            yield from self._serverless(logical, written)
        if kind in TWINS:
            yield from of_schema(self._resource(logical, written), kind, self._value(written))

    def _resource(self, logical: str, properties: Mapping[str, Any]) -> Resource:
        dependencies = {str(key): frozenset(self._urns(value)) for key, value in properties.items()}
        return Resource(
            urn=self._urn(logical),
            type="",
            name=f"{self._stack.name}/{logical}",
            properties={},
            property_dependencies=dependencies,
            parent=self._stack.urn,
        )

    def _serverless(self, logical: str, properties: Mapping[str, Any]) -> Iterator[Resource]:
        """A function of SAM, and a mapping for each of its events that is a queue's."""
        function = {key: value for key, value in properties.items() if key not in ("Events", "Policies")}
        yield from of_schema(self._resource(logical, function), "AWS::Lambda::Function", self._value(function))
        events = properties.get("Events")
        for name, event in events.items() if isinstance(events, Mapping) else ():
            if isinstance(event, Mapping) and event.get("Type") == "SQS":
                written = {**(event.get("Properties") or {}), "FunctionName": {"Ref": logical}}
                written["EventSourceArn"] = written.pop("Queue", None)
                resource = self._resource(f"{logical}{name}", written)
                yield from of_schema(resource, "AWS::Lambda::EventSourceMapping", self._value(written))

    def _urn(self, logical: str) -> str:
        return f"{self._stack.urn}/{logical}"

    def _value(self, value: Any) -> Any:
        """A value with its references filled in; what only the deployment knows is ``UNKNOWN``."""
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" or str(function).startswith("Fn::"):
                return self._called(function, argument)
        return {key: self._value(item) for key, item in value.items()}

    def _called(self, function: str, argument: Any) -> Any:
        """What one of CloudFormation's functions gives."""
        if function == "Ref" and isinstance(argument, str):
            return self._parameters.get(argument, UNKNOWN)
        if function == "Fn::Sub":
            text, names = _substitution(argument)
            known = {name: self._value(names.get(name, {"Ref": name})) for name in IN_TEXT.findall(text)}
            whole = all(isinstance(item, str) for item in known.values())
            return IN_TEXT.sub(lambda found: known[found[1]], text) if whole else UNKNOWN
        if function == "Fn::Join":
            parts = self._value(argument)
            if isinstance(parts, list) and len(parts) == 2 and isinstance(parts[1], list):  # noqa: PLR2004
                whole = all(isinstance(item, str) for item in (parts[0], *parts[1]))
                return parts[0].join(parts[1]) if whole else UNKNOWN
        return UNKNOWN

    def _urns(self, value: Any) -> Iterator[str]:
        """What a value refers to: resources of the template, and what the stack's parameters are made of."""
        if isinstance(value, list):
            for item in value:
                yield from self._urns(item)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                if key == "Ref" and isinstance(item, str):
                    yield from self._referred(item)
                elif key == "Fn::GetAtt":
                    yield from self._referred(str(item[0] if isinstance(item, list) and item else item).split(".")[0])
                elif key == "Fn::Sub":
                    text, names = _substitution(item)
                    for name in IN_TEXT.findall(text):
                        yield from self._referred(name.split(".")[0])
                    yield from self._urns(names)
                else:
                    yield from self._urns(item)

    def _referred(self, name: str) -> Iterator[str]:
        if name in self._parameters:
            yield from self._stack.property_dependencies.get("parameters", frozenset())
        else:
            yield self._urn(name)


def _substitution(argument: Any) -> tuple[str, Mapping[str, Any]]:
    """The text of ``Fn::Sub``, and the values that it brings along."""
    if isinstance(argument, list) and argument and isinstance(argument[0], str):
        return argument[0], argument[1] if len(argument) > 1 and isinstance(argument[1], Mapping) else {}
    return (argument, {}) if isinstance(argument, str) else ("", {})


def _read(body: Any) -> Mapping[str, Any]:
    if body is UNKNOWN:
        raise TemplateError("its template is unknown before the update")
    if isinstance(body, str):
        try:
            body = json.loads(body) if body.lstrip().startswith("{") else yaml.load(body, _Loader)  # noqa: S506
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise TemplateError(f"its template is neither JSON nor YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(body, Mapping):
        raise TemplateError("its template is no mapping")
    return body


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: with short names for its functions, and without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases, which CloudFormation does not know, and which make a small text a huge value."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported by CloudFormation")
        return super().compose_node(parent, index)


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    """``!Ref x`` as ``{"Ref": "x"}``, ``!GetAtt x.Arn`` as ``{"Fn::GetAtt": ["x", "Arn"]}``."""
    value: Any = None
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {"Ref" if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)
