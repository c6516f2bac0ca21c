"""The stack's outputs: the names that operators and tools rely on."""

from typing import Any

from stack.embedding import EmbedQueues
from stack.settings import Settings
from stack.storage import Storage


def collect(
    settings: Settings,
    storage: Storage,
    embed_queues: EmbedQueues,
    *,
    upload: Any,
    embed: Any,
    worker: Any,
    compaction: Any,
) -> dict[str, Any]:
    """Output name to value; ``stack`` does not know the stages' types, so theirs are duck-typed."""
    lines, words = compaction.queues["lines"], compaction.queues["words"]
    return {
        "region": settings.region,
        "artifactsBucket": storage.artifacts.bucket,
        "vectorsBucket": storage.vectors.bucket,
        "tableName": storage.table.name,
        "fileSystemId": storage.file_system.id,
        "openaiApiKeySecretArn": storage.secret_arn,
        "embedQueueUrl": embed_queues.main.url,
        "embedQueueUrls": embed_queues.urls,
        "embedDeadLetterQueueUrl": embed_queues.dead_letter.url,
        "ocrResultsQueueUrl": upload.queue.url,
        "ocrResultsDeadLetterQueueUrl": upload.queue.dead_letter.url,
        "ocr": settings.ocr,
        "picturesQueueUrl": upload.pictures and upload.pictures.queue.url,
        "picturesDeadLetterQueueUrl": upload.pictures and upload.pictures.queue.dead_letter.url,
        "pictureFunctionName": upload.pictures and upload.pictures.function.function.name,
        "linesQueueUrl": lines.url,
        "wordsQueueUrl": words.url,
        "linesDeadLetterQueueUrl": lines.dead_letter.url,
        "wordsDeadLetterQueueUrl": words.dead_letter.url,
        "streamFailureQueueUrl": compaction.stream_failures.url,
        "embedConsumer": settings.embed_consumer,
        "uploadFunctionName": upload.function.function.name,
        "mergeFunctionName": compaction.merge.function.name,
        "streamProcessorFunctionName": compaction.stream_processor.function.name,
        "embedFunctionName": embed.function.function.name,
        "embedMappingId": embed.mapping.id,
        "clusterName": worker.cluster.name,
        "serviceName": worker.service.name,
        "embedder": settings.embedder,
        "embeddingModel": settings.embedding_model,
        "embeddingDimensions": settings.embedding_dimensions,
        "publishEverySeconds": settings.merge.publish_every_seconds,
    }
