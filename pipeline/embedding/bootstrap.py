"""Builds the embedding core with its real adapters, for either host; the one place that does."""

from typing import TYPE_CHECKING

from pipeline.aws import connect
from pipeline.embedding.core import EmbeddingCore
from pipeline.embedding.embedders.factory import build_embedder
from pipeline.embedding.environment import EmbeddingEnvironment
from pipeline.embedding.recording import Consumer
from pipeline.merchants.resolution import MerchantResolver
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository

if TYPE_CHECKING:
    from pipeline.collections.reader import SnapshotSource


def build_core(environment: EmbeddingEnvironment, *, consumer: Consumer, snapshots: "SnapshotSource") -> EmbeddingCore:
    """The core for one host.

    Args:
        environment: the host's environment.
        consumer: which host this is; recorded on every run.
        snapshots: where the host reads published lines from: EFS on the worker, S3 on the function.
    """
    return EmbeddingCore(
        environment=environment,
        consumer=consumer,
        objects=ObjectStore(connect("s3")),
        runs=RunRepository(environment.table_name, connect("dynamodb")),
        sqs_client=connect("sqs"),
        embedder=build_embedder(environment, secrets_client=connect("secretsmanager")),
        merchants=MerchantResolver(snapshots=snapshots),
    )
