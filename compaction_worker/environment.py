"""The variables of the ECS worker and of the function that counts for it; ``component.py`` fills these very models."""

from pipeline.embedding.environment import EmbeddingEnvironment
from pipeline.environment import Environment

NAMESPACE, METRIC = "Receipts", "WaitingMessages"
"""In CloudWatch, what the function counts and the worker's scaling goes by; its dimension is the queue's name."""


class WaitingEnvironment(Environment):
    """What the count of waiting messages must know; the queue comes with each call.

    Attributes:
        metric_namespace: where the datapoints go, and the only place where they may.
    """

    metric_namespace: str


class WorkerEnvironment(EmbeddingEnvironment):
    """What the worker must know beside the core's variables.

    Attributes:
        embed_queue_arn: of the same queue; the fence asks Lambda for its mappings.
        collections_directory: where EFS is mounted; published snapshots are read from it, never written.
        private_directory: on the task's own disk; the private views of published snapshots.
        visibility_timeout_seconds: the queue's; the heartbeat extends a receipt's visibility by it.
        stop_timeout_seconds: how long ECS waits between SIGTERM and SIGKILL.
        health_file: touched at every turn of the loop; the container's health check looks at its age.
    """

    embed_queue_url: str
    embed_queue_arn: str
    collections_directory: str
    private_directory: str
    visibility_timeout_seconds: int
    stop_timeout_seconds: int
    health_file: str
