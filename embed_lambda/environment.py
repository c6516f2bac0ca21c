"""The variables of the embed function; ``component.py`` fills this very model."""

from pipeline.embedding.environment import EmbeddingEnvironment


class EmbedLambdaEnvironment(EmbeddingEnvironment):
    """What the function must know beside the core's variables.

    Attributes:
        embed_queue_url: of the queue ``embed``; a queue of its own that the function may have is beside it.
        snapshot_cache_directory: where published snapshots are cached from S3; the function is outside the VPC and
            has no EFS. Lambda's only writable place is ``/tmp``.
    """

    embed_queue_url: str
    snapshot_cache_directory: str
