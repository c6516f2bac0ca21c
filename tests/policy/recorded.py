"""Recorded programs as a policy pack is shown them: as a graph, and as messages of Pulumi's analyzer protocol."""

from pathlib import Path
from typing import Any

from google.protobuf import json_format
from pulumi.runtime import rpc
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy.deserialize import deserialize_properties

from policy.graph import UNKNOWN, Graph, Resource
from tests.program.engine import Recording, run_program

PROGRAMS = Path(__file__).parent / "programs"


def record(name: str, *, preview: bool = False) -> Recording:
    """Run one of the small programs."""
    return run_program({}, program=PROGRAMS / f"{name}.py", preview=preview)


def graph_of(recording: Recording) -> Graph:
    return Graph(
        Resource(
            urn=made.urn,
            type=made.type,
            name=made.name,
            properties=_known(deserialize_properties(json_format.MessageToDict(made.properties))),
            property_dependencies=made.property_dependencies,
            dependencies=made.depends_on,
            parent=made.parent,
            ignored=made.ignored,
        )
        for made in recording.made.values()
    )


def messages_of(recording: Recording) -> list[analyzer_pb2.AnalyzerResource]:
    return [
        analyzer_pb2.AnalyzerResource(
            urn=made.urn,
            type=made.type,
            name=made.name,
            properties=made.properties,
            options=analyzer_pb2.AnalyzerResourceOptions(ignoreChanges=sorted(made.ignored)),
            parent=made.parent,
            dependencies=sorted(made.depends_on),
            propertyDependencies={
                key: analyzer_pb2.AnalyzerPropertyDependencies(urns=sorted(urns))
                for key, urns in made.property_dependencies.items()
            },
        )
        for made in recording.made.values()
    ]


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_known(item) for item in value]
    return UNKNOWN if value == rpc.UNKNOWN else value
