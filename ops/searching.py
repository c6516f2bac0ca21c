"""Searching a published collection, as a reader does: from the snapshot in S3, never the working copy."""

from dataclasses import dataclass
from typing import Any

from ops.target import OperatorError, Target
from pipeline.collections.reader import SnapshotSource
from pipeline.contracts.identifiers import CollectionName
from pipeline.embedding.embedders.factory import build_embedder
from pipeline.embedding.environment import EmbeddingEnvironment


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The neighbours of one text, nearest first, and the version that they are from."""

    version: str
    count: int
    matches: tuple[dict[str, Any], ...]


def search(
    target: Target, text: str, *, collection: CollectionName, limit: int, merchant: str | None = None
) -> SearchResult:
    """Embed ``text`` with the stack's own embedder and ask the published collection.

    Raises:
        OperatorError: NOTHING_PUBLISHED when the collection has no version yet.
    """
    outputs = target.outputs
    environment = EmbeddingEnvironment(
        table_name=outputs["tableName"],
        vectors_bucket=outputs["vectorsBucket"],
        embed_dead_letter_queue_url=outputs["embedDeadLetterQueueUrl"],
        embedder=outputs["embedder"],
        embedding_model=outputs["embeddingModel"],
        embedding_dimensions=int(outputs["embeddingDimensions"]),
        delta_precision="float32",
        openai_api_key_secret_arn=outputs.get("openaiApiKeySecretArn") or None,
        openai_base_url=outputs.get("openaiBaseUrl") or None,
    )
    embedder = build_embedder(environment, secrets_client=target.client("secretsmanager"))
    source = SnapshotSource.from_bucket(
        collection,
        s3_client=target.s3,
        bucket=outputs["vectorsBucket"],
        private_directory=target.cache_directory,
    )
    try:
        published = source.refresh()
        if published is None:
            raise OperatorError(
                "NOTHING_PUBLISHED", f"collection {collection} has no version yet", "receipts upload samples/*.json"
            )
        (neighbours,) = published.query(embedder.embed([text]), limit=limit, merchant=merchant)
        return SearchResult(
            version=published.version,
            count=published.count,
            matches=tuple(
                {"id": item.id, "text": item.document, "distance": item.distance, **item.metadata}
                for item in neighbours
            ),
        )
    finally:
        source.close()
