"""Recorded programs as a policy pack is shown them: as messages of Pulumi's analyzer protocol, and as a graph."""

from datetime import date
from pathlib import Path

from pulumi.runtime.proto import analyzer_pb2

from one_consumer.pack.codes import Violation
from one_consumer.pack.graph import Graph
from one_consumer.pack.judgement import judge
from one_consumer.pack.server import resource_of
from one_consumer.pack.settings import Settings
from tests.program.engine import Recording, run_program

PROGRAMS = Path(__file__).parent / "programs"
TODAY = date(2026, 12, 1)


def record(name: str, *, preview: bool = False) -> Recording:
    """Run one of the small programs."""
    return run_program({}, program=PROGRAMS / f"{name}.py", preview=preview)


def graph_of(recording: Recording) -> Graph:
    return Graph(map(resource_of, messages_of(recording)))


def judged(graph: Graph, settings: Settings | None = None) -> list[Violation]:
    """What is wrong with a stack, as the pack finds it on a day of these tests."""
    return judge(graph.resources.values(), settings or Settings(), TODAY)


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
