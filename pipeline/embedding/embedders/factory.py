"""Builds the embedder that the environment names. The OpenAI key is read at first use, never here and never logged."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.embedding.embedders.base import Embedder
from pipeline.embedding.embedders.hashing import HASHING_MODEL, HashingEmbedder
from pipeline.embedding.environment import EmbeddingEnvironment
from pipeline.errors import ErrorCode, PermanentError, RetryableError


def build_embedder(environment: EmbeddingEnvironment, *, secrets_client: Any) -> Embedder:
    """The embedder of this environment; cheap, nothing is fetched.

    Args:
        environment: names the embedder, its model and its dimensions.
        secrets_client: a boto3 client of Secrets Manager; used by ``openai`` only.

    Raises:
        PermanentError: ENVIRONMENT_INVALID when embedder, model, dimensions and secret do not belong together.
    """
    if environment.embedder == "openai":
        if environment.openai_api_key_secret_arn is None:
            raise _invalid("OPENAI_API_KEY_SECRET_ARN is not set", "the openai embedder needs a key")
        # Imported only where it is used: the other embedders must not pay for it at every cold start.
        from pipeline.embedding.embedders.openai import OpenAiEmbedder  # noqa: PLC0415

        return OpenAiEmbedder(
            model=environment.embedding_model,
            dimensions=environment.embedding_dimensions,
            read_key=_key_reader(secrets_client, environment.openai_api_key_secret_arn),
            base_url=environment.openai_base_url,
        )
    if environment.embedder == "minilm":
        from pipeline.embedding.embedders.minilm import (  # noqa: PLC0415 - it imports Chroma's model
            MINILM_DIMENSIONS,
            MINILM_MODEL,
            MiniLmEmbedder,
        )

        _require_model(environment, MINILM_MODEL)
        if environment.embedding_dimensions != MINILM_DIMENSIONS:
            raise _invalid(
                f"EMBEDDING_DIMENSIONS is {environment.embedding_dimensions}",
                f"{MINILM_MODEL} has {MINILM_DIMENSIONS}",
            )
        return MiniLmEmbedder()
    _require_model(environment, HASHING_MODEL)
    return HashingEmbedder(environment.embedding_dimensions)


def _require_model(environment: EmbeddingEnvironment, model: str) -> None:
    if environment.embedding_model != model:
        raise _invalid(
            f"EMBEDDING_MODEL is {environment.embedding_model}", f"the {environment.embedder} embedder is {model}"
        )


def _key_reader(secrets_client: Any, arn: str) -> Callable[[], str]:
    def read_key() -> str:
        try:
            key = secrets_client.get_secret_value(SecretId=arn).get("SecretString", "").strip()
        except (ClientError, BotoCoreError) as error:
            raise _no_key(f"{arn} could not be read: {error}") from error
        if not key:
            raise _no_key(f"{arn} holds no text")
        return key

    return read_key


def _no_key(value: str) -> RetryableError:
    return RetryableError(
        ErrorCode.EMBEDDING_CREDENTIALS,
        value=value,
        rule="the secret exists, holds the key as plain text and may be read by this role",
        way_out="put the key into the secret; the messages wait on the queue",
    )


def _invalid(value: str, rule: str) -> PermanentError:
    return PermanentError(
        ErrorCode.ENVIRONMENT_INVALID,
        value=value,
        rule=rule,
        way_out="correct embedder, embeddingModel and embeddingDimensions in the stack's settings and deploy again",
    )
