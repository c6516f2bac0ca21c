"""App Runner services. They have no off switch in Pulumi: a service that exists runs."""

from collections.abc import Iterator
from typing import Any, Final

from one_consumer.pack.graph import Graph
from one_consumer.pack.knowledge import Knowledge, Word, words_of_text, words_of_variables
from one_consumer.pack.workloads import Program, Workload, principals_of

SERVICE: Final = "aws:apprunner/service:Service"
TYPES: Final = (SERVICE,)
CONFIGURATIONS: Final = (
    ("imageRepository", "imageConfiguration"),
    ("codeRepository", "codeConfiguration", "codeConfigurationValues"),
)


def workloads(graph: Graph) -> Iterator[Workload]:
    """Every service, with the role of its instances."""
    for service in graph.of(SERVICE):
        value = service.value("sourceConfiguration")
        words = [word for path in CONFIGURATIONS for word in _words(service.value("sourceConfiguration", *path))]
        knowledge = Knowledge.of(graph, service, "sourceConfiguration", value, words)
        principals = principals_of(graph, service, "instanceConfiguration", "instanceRoleArn")
        yield Workload(resource=service, what="App Runner service", programs=(Program(principals, knowledge),))


def _words(configuration: Any) -> Iterator[Word]:
    if isinstance(configuration, dict):
        yield from words_of_variables(configuration.get("runtimeEnvironmentVariables"))
        yield from words_of_text(configuration.get("startCommand"))
