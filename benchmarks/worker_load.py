"""The load of the worker's benchmark, and one run of it with the build that it finds on its path. Not run by hand.

``benchmarks/worker.py`` runs this file once with today's build and once with an older one, in the older one's
directory, so it uses only what both have: stage 1's export, the embedding core and the worker, by their constructors.
"""

import json
import random
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
import numpy as np

from compaction_worker.environment import WorkerEnvironment
from compaction_worker.fence import Fence
from compaction_worker.protection import TaskProtection
from compaction_worker.stopping import StopRequest
from compaction_worker.worker import ChromaCompactionWorker
from ops.local.provisioners.context import client_options
from pipeline.contracts.ocr import parse_ocr_document
from pipeline.embedding.core import EmbeddingCore
from pipeline.objects import ObjectStore
from upload_images.export import export_receipt

try:
    from pipeline.embedding.embedders.request_plan import plan_requests
    from pipeline.merchants.resolution import MerchantResolver
    from pipeline.runs.repository import RunRepository
except ImportError:
    # The older build, which runs this very file, has them elsewhere.
    # pyrefly: ignore [missing-import]
    from pipeline.embedding.embedders.requests import plan_requests

    # pyrefly: ignore [missing-import]
    from pipeline.embedding.merchant_resolution import MerchantResolver
    from pipeline.runs import RunRepository  # pyrefly: ignore [missing-module-attribute]

SEED = 20260102
LINES, WORDS = 53, 112
"""Of a receipt: the means of the 313 receipts of SROIE's development half (ICDAR 2019, task 1)."""
COMMON_WORDS, COMMON_SHARE, PRICE_SHARE, NOISE_SHARE = 500, 0.66, 0.22, 0.06
"""Chosen so that a receipt has about 157 rows that say something with 112 distinct texts (there 156 and 110). Twenty
receipts together have 1,430 (there 1,220): a request is filled by fewer receipts here than by real ones."""
MODEL = "no-time"
VISIBILITY_SECONDS = 120


class NoTimeEmbedder:
    """Answers with vectors that were made beforehand, and counts the requests that the API would have had."""

    model = MODEL

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.requests = self.texts = 0
        self._vectors = np.random.default_rng(SEED).standard_normal((8_192, dimensions), dtype=np.float32)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The first vectors, whatever the texts are."""
        self.requests += len(list(plan_requests(texts)))
        self.texts += len(texts)
        return self._vectors[: len(texts)]


class Until:
    """An SQS client that asks the worker to stop when all messages are deleted, and knows when that was."""

    def __init__(self, client: Any, expected: int, stop: StopRequest) -> None:
        self._client, self._left, self._stop = client, expected, stop
        self._lock = threading.Lock()
        self.ended = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def delete_message_batch(self, **call: Any) -> Any:
        """Delete, and count."""
        answer = self._client.delete_message_batch(**call)
        with self._lock:
            self._left -= len(answer.get("Successful", []))
            if self._left <= 0:
                self.ended = time.perf_counter()
                self._stop.request()
        return answer


class NoMappings:
    """Lambda without any mapping."""

    def get_paginator(self, _: str) -> "NoMappings":
        """This is its own paginator."""
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        """One page, empty."""
        return [{"EventSourceMappings": []}]


def receipts(count: int) -> Iterator[bytes]:
    """OCR results of one receipt each, the same every time; some words are everywhere, prices and names hardly."""
    source = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    common = [_word(source) for _ in range(COMMON_WORDS)]
    weights = [1 / rank for rank in range(1, COMMON_WORDS + 1)]
    box = {"x": 0.1, "y": 0.1, "width": 0.5, "height": 0.02}

    def word() -> str:
        kind = source.random()
        if kind < NOISE_SHARE:
            return ":"
        if kind < NOISE_SHARE + COMMON_SHARE:
            return source.choices(common, weights)[0]
        if kind < NOISE_SHARE + COMMON_SHARE + PRICE_SHARE:
            return f"{source.randrange(1, 400) / 20:.2f}"
        return _word(source)

    for _ in range(count):
        sizes = [1] * LINES
        for _ in range(WORDS - LINES):
            sizes[source.randrange(LINES)] += 1
        lines = [[word() for _ in range(size)] for size in sizes]
        receipt = {
            "receipt_id": 1,
            "merchant_name": "GREENLEAF MARKET",
            "lines": [
                {
                    "line_id": number,
                    "text": " ".join(words),
                    "confidence": 0.97,
                    "bounding_box": box,
                    "words": [
                        {"word_id": place, "text": text, "confidence": 0.97, "bounding_box": box}
                        for place, text in enumerate(words, 1)
                    ],
                }
                for number, words in enumerate(lines, 1)
            ],
        }
        document = {"image_id": str(UUID(int=source.getrandbits(128))), "receipts": [receipt]}
        yield json.dumps(document).encode()


def _word(source: random.Random) -> str:
    return "".join(source.choices("ABCDEFGHIKLMNOPRSTUVW", k=source.randrange(3, 9)))


def run(endpoint: str, count: int, dimensions: int, round_trip_seconds: float) -> dict[str, float]:
    """Put receipts on a queue of the emulator and let the worker of this build take them.

    Args:
        endpoint: the emulator's.
        count: receipts.
        dimensions: numbers a vector.
        round_trip_seconds: that every call of the worker to AWS takes beside what the emulator takes.

    Returns:
        ``seconds`` from the worker's start to the last deletion, ``requests`` of embedding and ``texts`` embedded.
    """
    name = f"bench-{uuid.uuid4().hex[:8]}"
    create: Any = boto3.client
    s3, dynamodb, sqs = (create(service, **client_options(endpoint)) for service in ("s3", "dynamodb", "sqs"))
    s3.create_bucket(Bucket=name)
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("PK", "SK")],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    )
    attributes = {"FifoQueue": "true", "VisibilityTimeout": str(VISIBILITY_SECONDS)}
    queue = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    _fill(s3, sqs, queue, name, count=count, dimensions=dimensions)
    if round_trip_seconds:
        for client in (s3, dynamodb, sqs):
            # A handler that answers nothing lets the request go on.
            client.meta.events.register("before-send", lambda **_: time.sleep(round_trip_seconds))
    stop, embedder = StopRequest(), NoTimeEmbedder(dimensions)
    counting = Until(sqs, count, stop)
    with tempfile.TemporaryDirectory() as directory:
        environment = WorkerEnvironment(
            table_name=name,
            artifacts_bucket=name,
            vectors_bucket=name,
            embed_dead_letter_queue_url=queue,
            embedder="hashing",
            embedding_model=MODEL,
            embedding_dimensions=dimensions,
            delta_precision="float32",
            embed_queue_url=queue,
            embed_queue_arn="arn",
            collections_directory=directory,
            private_directory=directory,
            visibility_timeout_seconds=VISIBILITY_SECONDS,
            stop_timeout_seconds=60,
            health_file=str(Path(directory) / "alive"),
        )
        unused: Any = None
        core = EmbeddingCore(
            environment=environment,
            consumer="ecs",
            objects=ObjectStore(s3),
            runs=RunRepository(name, dynamodb),
            sqs_client=counting,
            embedder=embedder,
            merchants=MerchantResolver(snapshots=unused),
        )
        worker = ChromaCompactionWorker(
            environment=environment,
            core=core,
            sqs_client=counting,
            protection=TaskProtection(None),
            fence=Fence(NoMappings(), "arn"),
        )
        began = time.perf_counter()
        code = worker.run(stop)
    if code or not counting.ended:
        raise RuntimeError(f"the worker ended with {code} before all was done")
    _empty(s3, name)
    return {"seconds": counting.ended - began, "requests": embedder.requests, "texts": embedder.texts}


def _fill(s3: Any, sqs: Any, queue: str, bucket: str, *, count: int, dimensions: int) -> None:
    entries = []
    for number, content in enumerate(receipts(count)):
        document = parse_ocr_document(content, "benchmark")
        export = export_receipt(
            document, document.receipts[0], bucket=bucket, embedding_model=MODEL, dimensions=dimensions
        )
        for artifact in export.artifacts:
            s3.put_object(Bucket=bucket, Key=artifact.key, Body=artifact.content)
        message = export.message
        entries.append(
            {
                "Id": str(number % 10),
                "MessageBody": message.model_dump_json(exclude_none=True),
                "MessageGroupId": message.group_id,
                "MessageDeduplicationId": message.deduplication_id,
            }
        )
    for start in range(0, count, 10):
        if sqs.send_message_batch(QueueUrl=queue, Entries=entries[start : start + 10]).get("Failed"):
            raise RuntimeError("a message was not sent")


def _empty(s3: Any, bucket: str) -> None:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
