"""The world of stage 2: artifacts, recording queues, an embedder that counts, and the core itself on moto."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np

from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.messages import RunReference
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.deltas import delta_objects, read_delta
from pipeline.embedding.core import EmbeddingCore
from pipeline.embedding.environment import EmbeddingEnvironment
from pipeline.embedding.work import Disposition, IncomingMessage
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.merchants.resolution import MerchantResolver
from tests.stages.ocr_results import document, receipt
from tests.stages.recording_queue import RecordingQueues
from tests.world import World
from upload_images.export import export_receipt

ARTIFACTS, DEAD_LETTERS = "artifacts", "https://sqs/embed-dlq.fifo"


@dataclass
class CountingEmbedder:
    """Counts its requests; rejects a poisonous text; can be unavailable."""

    model: str = "counting"
    dimensions: int = 4
    requests: list[list[str]] = field(default_factory=list)
    unavailable: bool = False

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.requests.append(list(texts))
        if self.unavailable:
            raise RetryableError(ErrorCode.EMBEDDING_UNAVAILABLE, value="503", rule="it answers", way_out="wait")
        if "POISON" in texts:
            raise PermanentError(ErrorCode.EMBEDDING_REJECTED, value="POISON", rule="no poison", way_out="none")
        return np.array([[len(text), 1, 0, 0] for text in texts], dtype=np.float32).reshape(len(texts), 4)


class NothingPublished:
    """A source of snapshots before the first publication."""

    def refresh(self) -> None:
        return None


class BrokenSnapshots:
    """A source of snapshots whose credentials are bad."""

    def refresh(self) -> None:
        raise PermissionError("bad credential")


class OneCallAtATime:
    """A client of moto's DynamoDB, which copies its tables in a transaction and must not be called meanwhile."""

    def __init__(self, client: Any) -> None:
        self._client, self._lock = client, threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(**arguments: Any) -> Any:
            with self._lock:
                return method(**arguments)

        return call if name != "get_paginator" else method


@dataclass(kw_only=True)
class EmbeddingWorld(World):
    """A world with a bucket of artifacts, recording queues, and the core that is tested."""

    queues: RecordingQueues = field(default_factory=RecordingQueues)
    embedder: CountingEmbedder = field(default_factory=CountingEmbedder)

    def create(self) -> Self:
        super().create()
        self.s3.create_bucket(Bucket=ARTIFACTS)
        return self

    @cached_property
    def dynamodb(self) -> Any:
        return OneCallAtATime(self.clients("dynamodb"))

    @cached_property
    def core(self) -> EmbeddingCore:
        return EmbeddingCore(
            environment=EmbeddingEnvironment(
                table_name=self.table,
                artifacts_bucket=ARTIFACTS,
                vectors_bucket=self.bucket,
                embed_dead_letter_queue_url=DEAD_LETTERS,
                embedder="hashing",
                embedding_model="counting",
                embedding_dimensions=4,
                delta_precision="float32",
            ),
            consumer="lambda",
            objects=self.objects,
            runs=self.runs,
            sqs_client=self.queues,
            embedder=self.embedder,
            merchants=MerchantResolver(snapshots=NothingPublished()),
        )

    def message(self, receipt_id: int = 1, texts: tuple[str, ...] = ("ALMA CAFÉ", "tea"), **more: Any) -> Any:
        """Write a receipt's artifacts and give the message as stage 1 would send it."""
        parsed = parse_ocr_document(document(receipt(receipt_id, texts, **more)), "test")
        export = export_receipt(parsed, parsed.receipts[0], bucket=ARTIFACTS, embedding_model="counting", dimensions=4)
        for artifact in export.artifacts:
            self.s3.put_object(Bucket=ARTIFACTS, Key=artifact.key, Body=artifact.content)
        return export.message

    def incoming(self, message: Any, message_id: str = "m1") -> IncomingMessage:
        body = message if isinstance(message, str) else message.model_dump_json(exclude_none=True)
        group = "g" if isinstance(message, str) else message.group_id
        return IncomingMessage(message_id=message_id, body=body, group_id=group)

    def deltas(self, run: Any) -> int:
        """How many objects there are for the deltas that a run records; each is read back."""
        for collection in COLLECTIONS:
            read_delta(self.core.objects, self.bucket, collection, run.run_id, run.progress(collection).delta_sha256)
        listed = [item for name in COLLECTIONS for item in delta_objects(self.core.objects, self.bucket, name)]
        return sum(item.run_id == run.run_id for item in listed)

    def run_of(self, message: Any) -> Any:
        return self.runs.find(
            RunReference(image_id=message.image_id, receipt_id=message.receipt_id, run_id=message.run_id)
        )


def dispositions(world: EmbeddingWorld, *messages: IncomingMessage) -> list[Disposition]:
    return [outcome.disposition for outcome in world.core.process(messages)]
