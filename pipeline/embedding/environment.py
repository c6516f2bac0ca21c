"""The variables that both hosts of the embedding core need; each host adds its own."""

from typing import Literal

from pipeline.contracts.identifiers import Precision
from pipeline.environment import Environment

EmbedderName = Literal["openai", "minilm", "hashing"]


class EmbeddingEnvironment(Environment):
    """What the embedding core must know, in the function as in the worker.

    Attributes:
        artifacts_bucket: the only bucket that a message may name.
        embed_dead_letter_queue_url: where a message that can never succeed is sent with its reason.
        openai_api_key_secret_arn: set if and only if ``embedder`` is ``openai``; the key itself is never a variable.
        openai_base_url: for a gateway that speaks OpenAI's API; the API's own address when unset.
    """

    table_name: str
    artifacts_bucket: str
    vectors_bucket: str
    embed_dead_letter_queue_url: str
    embedder: EmbedderName
    embedding_model: str
    embedding_dimensions: int
    delta_precision: Precision
    openai_api_key_secret_arn: str | None = None
    openai_base_url: str | None = None
