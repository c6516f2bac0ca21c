"""Stage 1 as it is deployed: OCR results arrive in the bucket, are announced on a queue and consumed by a function."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from stack.functions import ImageFunction, ImageFunctionArgs, environment_variables
from stack.permissions import read_objects, send_to, write_objects
from stack.queues import FunctionConsumer, Queue, QueueArgs, allow_bucket_to_send
from stack.settings import Settings
from stack.storage import Storage
from upload_images.environment import ProcessOcrResultsEnvironment

TIMEOUT_SECONDS = 120
VISIBILITY_TIMEOUT_SECONDS = 6 * TIMEOUT_SECONDS
MEMORY_MB = 512
MAXIMUM_CONCURRENCY = 10


@dataclass(frozen=True, kw_only=True)
class UploadImagesArgs:
    """What stage 1 needs; it may send to ``embed_queue`` and no more."""

    settings: Settings
    image_uri: pulumi.Input[str]
    storage: Storage
    embed_queue: Queue


class UploadImages(pulumi.ComponentResource):
    """OCR results in, artifacts and embed messages out."""

    queue: Queue
    function: ImageFunction

    def __init__(self, name: str, args: UploadImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stage:UploadImages", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings, bucket = args.settings, args.storage.artifacts
        self.queue = Queue(
            f"{name}-ocr-results",
            QueueArgs(fifo=False, visibility_timeout_seconds=VISIBILITY_TIMEOUT_SECONDS),
            opts=child,
        )
        self.function = ImageFunction(
            f"{name}-process-ocr-results",
            ImageFunctionArgs(
                image_uri=args.image_uri,
                handler="upload_images.handler.process_ocr_results",
                variables=environment_variables(
                    ProcessOcrResultsEnvironment,
                    {
                        "artifacts_bucket": bucket.bucket,
                        "embed_queue_url": args.embed_queue.url,
                        "ocr_results_dead_letter_queue_url": self.queue.dead_letter_url,
                        "embedding_model": settings.embedding_model,
                        "embedding_dimensions": settings.embedding_dimensions,
                    },
                ),
                statements=[
                    *read_objects("OcrResultsAndArtifacts", bucket, "ocr/*", "receipts/*"),
                    write_objects("Artifacts", bucket, "receipts/*"),
                    send_to("SendEmbedMessages", args.embed_queue.arn),
                    send_to("ParkBadDocuments", self.queue.dead_letter_arn),
                ],
                memory_mb=MEMORY_MB,
                timeout_seconds=TIMEOUT_SECONDS,
                log_retention_days=settings.log_retention_days,
            ),
            opts=child,
        )
        self.queue.consume_with(
            FunctionConsumer(
                claimant=f"{name}-process-ocr-results",
                function=self.function.function,
                role=self.function.role,
                function_timeout_seconds=TIMEOUT_SECONDS,
                batch_size=10,
                maximum_concurrency=MAXIMUM_CONCURRENCY,
            ),
            parent=self,
        )
        allowed = allow_bucket_to_send(f"{name}-announce", self.queue, bucket, self)
        aws.s3.BucketNotification(
            f"{name}-notification",
            bucket=bucket.id,
            queues=[
                aws.s3.BucketNotificationQueueArgs(
                    queue_arn=self.queue.arn,
                    events=["s3:ObjectCreated:*"],
                    filter_prefix="ocr/",
                    filter_suffix=".json",
                )
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
        self.register_outputs({"queue_url": self.queue.url, "function_name": self.function.function.name})
