"""Stage 1 and stage 2 on moto, for every test of the stages."""

from pathlib import Path
from typing import Any

import pytest

from compaction_worker import worker as worker_module
from compaction_worker.environment import WorkerEnvironment
from pipeline.objects import ObjectStore
from tests.stages.embedding_world import EmbeddingWorld
from tests.stages.ocr_results import BUCKET, DEAD_LETTERS, EMBED_QUEUE
from tests.stages.polling_worker import worker_environment
from tests.stages.recording_queue import RecordingQueues
from tests.world import MOTO
from upload_images.environment import ProcessOcrResultsEnvironment
from upload_images.handler import OcrResultsProcessor


@pytest.fixture
def world(aws: None) -> EmbeddingWorld:
    return EmbeddingWorld().create()


@pytest.fixture
def s3(aws: None) -> Any:
    """S3 with the bucket of artifacts."""
    client = MOTO("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def queues() -> RecordingQueues:
    return RecordingQueues()


@pytest.fixture
def processor(s3: Any, queues: RecordingQueues) -> OcrResultsProcessor:
    environment = ProcessOcrResultsEnvironment(
        artifacts_bucket=BUCKET,
        embed_queue_url=EMBED_QUEUE,
        ocr_results_dead_letter_queue_url=DEAD_LETTERS,
        embedding_model="hashing-char-ngrams-v1",
        embedding_dimensions=256,
    )
    return OcrResultsProcessor(environment=environment, objects=ObjectStore(s3), sqs_client=queues)


@pytest.fixture
def environment(tmp_path: Path) -> WorkerEnvironment:
    return worker_environment(tmp_path)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "RECEIVE_PAUSE_SECONDS", 0.0)
