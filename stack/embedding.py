"""What both hosts of the embedding core are given alike: variables and rights, and the order of a switch."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import pulumi

from stack.permissions import Statement, read_objects, send_to, statement, use_table, write_objects
from stack.queues import Queue
from stack.settings import EmbedConsumer, Settings
from stack.storage import Storage


def embedding_values(settings: Settings, storage: Storage, queue: Queue) -> dict[str, Any]:
    """Values of the fields of ``EmbeddingEnvironment``."""
    return {
        "table_name": storage.table.name,
        "vectors_bucket": storage.vectors.bucket,
        "embed_dead_letter_queue_url": queue.dead_letter_url,
        "embedder": settings.embedder,
        "embedding_model": settings.embedding_model,
        "embedding_dimensions": settings.embedding_dimensions,
        "delta_precision": settings.delta_precision,
        "openai_api_key_secret_arn": storage.secret_arn,
        "openai_base_url": settings.openai_base_url,
    }


def embedding_statements(storage: Storage, queue: Queue) -> list[Statement]:
    """What embedding needs; receiving is not among it."""
    statements = [
        *read_objects("Artifacts", storage.artifacts, "receipts/*"),
        *read_objects("DeltasAndSnapshots", storage.vectors, "lines/*", "words/*"),
        write_objects("Deltas", storage.vectors, "lines/delta/*", "words/delta/*"),
        use_table(storage.table),
        send_to("ParkBadMessages", queue.dead_letter_arn),
    ]
    if storage.secret_arn is not None:
        statements.append(statement("ReadTheKey", ["secretsmanager:GetSecretValue"], [storage.secret_arn]))
    return statements


class _Host(Protocol):
    @property
    def switches(self) -> Sequence[pulumi.Resource]: ...


FunctionHost = TypeVar("FunctionHost", bound=_Host)
WorkerHost = TypeVar("WorkerHost", bound=_Host)


def loser_first(
    consumer: EmbedConsumer,
    function: Callable[[Sequence[pulumi.Resource]], FunctionHost],
    worker: Callable[[Sequence[pulumi.Resource]], WorkerHost],
) -> tuple[FunctionHost, WorkerHost]:
    """Build both hosts; the chosen one starts after everything that turns the other one off.

    A switch is then break before make, in one update; the gap without a consumer is its price, and messages wait.
    """
    if consumer == "lambda":
        service = worker(())
        return function(service.switches), service
    lambda_host = function(())
    return lambda_host, worker(lambda_host.switches)
