"""Searching a published collection, as a reader does. Checks what was asked, embeds it, and says what each match is.

Which texts match and in what order is decided in ``pipeline/collections/search.py``.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ops.choosing import SHOW_IDS, image_beginning, merchant_spellings, require_images, shown_images
from ops.published import published_version
from ops.target import OperatorError, Target
from pipeline.collections.letters import fold_text
from pipeline.collections.published import PublishedCollection
from pipeline.collections.search import Filter, Hit, SearchMode
from pipeline.contracts.identifiers import CollectionName
from pipeline.embedding.embedders.factory import build_embedder
from pipeline.embedding.environment import EmbeddingEnvironment
from pipeline.errors import PipelineError

HASHING = "hashing"
LARGEST_DISTANCE = 2.0
"""Cosine distance of opposite vectors."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The matches of one text, best first, and the version that they are from.

    Attributes:
        count: rows in the version.
        matches: of each its id, text, distance (None in mode ``text``), metadata, and ``image``: the beginning of the
            image id that every command accepts.
    """

    collection: CollectionName
    version: str
    count: int
    mode: SearchMode
    matches: tuple[dict[str, Any], ...]


def search(
    target: Target,
    text: str,
    *,
    collection: CollectionName,
    limit: int,
    mode: SearchMode = "hybrid",
    merchant: str | None = None,
    image: str | None = None,
    receipt: int | None = None,
    maximum_distance: float | None = None,
) -> SearchResult:
    """Ask the published collection for ``text``.

    Mode ``text`` compares letters only. It never calls the embedder, so it needs no key, and it gives no distances.

    Args:
        target: the stack.
        text: what was typed.
        collection: lines or words.
        limit: matches, at most.
        mode: what is compared: vectors, letters, or both.
        merchant: only its receipts, in whatever spelling.
        image: only images whose id begins so.
        receipt: only receipts with this number in their image.
        maximum_distance: matches farther away are left out; None leaves out coincidences of hashed letters alone
            (``pipeline/collections/search.py``).

    Raises:
        OperatorError: QUERY_EMPTY, DISTANCE_INVALID, NOTHING_PUBLISHED, MODEL_CHANGED, RECEIPT_UNKNOWN, what
            ``ops/choosing.py`` refuses, and the code of a failing embedder.
    """
    # An argument that is not UTF-8 arrives with surrogates, which neither SQLite nor an embedder takes.
    asked = text.encode("utf-8", "replace").decode()
    if not fold_text(asked):
        raise OperatorError("QUERY_EMPTY", f"the query {text!r} holds nothing to search for", "give a word or a line")
    _require_distance(mode, maximum_distance)
    with published_version(target, collection) as published:
        only = _filter(published, merchant, image, receipt)
        vector = None if mode == "text" else _embed(target, published, asked)
        hits = published.search(
            asked,
            vector,
            limit=limit,
            mode=mode,
            only=only,
            maximum_distance=maximum_distance,
            # Who gives a distance has decided what is near enough.
            without_coincidences=maximum_distance is None and target.outputs.get("embedder") == HASHING,
        )
        shown = shown_images(published, dict.fromkeys(str(hit.metadata["image_id"]) for hit in hits))
        return SearchResult(
            collection=collection,
            version=published.version,
            count=published.count,
            mode=mode,
            matches=tuple(_match(hit, shown) for hit in hits),
        )


def _require_distance(mode: SearchMode, maximum_distance: float | None) -> None:
    if maximum_distance is None:
        return
    if not 0 <= maximum_distance <= LARGEST_DISTANCE:
        raise OperatorError(
            "DISTANCE_INVALID",
            f"the largest distance is {maximum_distance}, and a cosine distance is from 0 to 2",
            "give a number such as 0.5",
        )
    if mode == "text":
        raise OperatorError(
            "DISTANCE_INVALID",
            "a largest distance is given with mode text, which compares letters and has no distances",
            "leave out --max-distance, or use --mode hybrid",
        )


def _filter(published: PublishedCollection, merchant: str | None, image: str | None, receipt: int | None) -> Filter:
    beginning = None if image is None else image_beginning(image)
    if beginning is not None:
        require_images(published, beginning)
        if receipt is not None and receipt not in {key.receipt_id for key in published.receipts(beginning)}:
            raise OperatorError(
                "RECEIPT_UNKNOWN",
                f"version {published.version} has no receipt {receipt} of image {beginning}",
                SHOW_IDS,
            )
    return Filter(
        merchants=None if merchant is None else merchant_spellings(published, merchant),
        image_prefix=beginning,
        receipt_id=receipt,
    )


def _embed(target: Target, published: PublishedCollection, text: str) -> np.ndarray:
    """The text's vector, by the stack's own embedder."""
    outputs = target.outputs
    model, dimensions = outputs["embeddingModel"], int(outputs["embeddingDimensions"])
    if (published.pointer.model, published.pointer.dimensions) != (model, dimensions):
        raise OperatorError(
            "MODEL_CHANGED",
            f"version {published.version} was embedded by {published.pointer.model} with "
            f"{published.pointer.dimensions} dimensions, and the stack now embeds by {model} with {dimensions}",
            "set the stack's embedder, model and dimensions back, or search with --mode text, which needs no vectors",
        )
    environment = EmbeddingEnvironment(
        table_name=outputs["tableName"],
        artifacts_bucket=outputs["artifactsBucket"],
        vectors_bucket=outputs["vectorsBucket"],
        embed_dead_letter_queue_url=outputs["embedDeadLetterQueueUrl"],
        embedder=outputs["embedder"],
        embedding_model=model,
        embedding_dimensions=dimensions,
        delta_precision="float32",
        openai_api_key_secret_arn=outputs.get("openaiApiKeySecretArn") or None,
        openai_base_url=outputs.get("openaiBaseUrl") or None,
    )
    try:
        embedder = build_embedder(environment, secrets_client=target.client("secretsmanager"))
        return embedder.embed([text])[0]
    except PipelineError as error:
        raise OperatorError(
            error.code.value,
            f"the query could not be embedded: {error.value}",
            f"{error.way_out}; or search with --mode text, which needs no embedder",
        ) from error


def _match(hit: Hit, shown: dict[str, str]) -> dict[str, Any]:
    return {
        "id": hit.id,
        "text": hit.text,
        "distance": None if math.isnan(hit.distance) else hit.distance,
        "image": shown[str(hit.metadata["image_id"])],
        **hit.metadata,
    }
