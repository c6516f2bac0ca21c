"""Stage 1 as it is deployed: OCR results arrive in the bucket, are announced on a queue and consumed by a function.

With ``receipts:ocr`` stage 0 comes before it (``pictures/component.py``). Both are announced by one notification:
a bucket has no second one.
"""

from dataclasses import dataclass

import pulumi

from stack import aws
from stack.consumers import MappedFunction
from stack.embedding import EmbedQueues
from stack.functions import ImageFunction, ImageFunctionArgs, environment_variables
from stack.permissions import read_objects, send_to, write_objects
from stack.queues import Queue, QueueArgs
from stack.settings import Settings
from stack.storage import Storage
from upload_images.environment import ProcessOcrResultsEnvironment
from upload_images.pictures import PICTURES_PREFIX
from upload_images.pictures.component import ReadPictures, ReadPicturesArgs

TIMEOUT_SECONDS = 120
VISIBILITY_TIMEOUT_SECONDS = 6 * TIMEOUT_SECONDS
MEMORY_MB = 512


@dataclass(frozen=True, kw_only=True)
class UploadImagesArgs:
    """What stage 1 needs; it may send to ``embed_queues`` and no more."""

    settings: Settings
    image_uri: pulumi.Input[str]
    storage: Storage
    embed_queues: EmbedQueues


class UploadImages(pulumi.ComponentResource):
    """OCR results in, artifacts and embed messages out.

    Attributes:
        pictures: stage 0; None with ``receipts:ocr`` none.
    """

    queue: Queue
    function: ImageFunction
    pictures: ReadPictures | None

    def __init__(self, name: str, args: UploadImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stage:UploadImages", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings, bucket = args.settings, args.storage.artifacts
        self.queue = Queue(
            f"{name}-ocr-results",
            QueueArgs(fifo=False, visibility_timeout_seconds=VISIBILITY_TIMEOUT_SECONDS, announces=bucket),
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
                        **args.embed_queues.routes,
                        "ocr_results_dead_letter_queue_url": self.queue.dead_letter.url,
                        "embedding_model": settings.embedding_model,
                        "embedding_dimensions": settings.embedding_dimensions,
                    },
                ),
                statements=[
                    *read_objects("OcrResultsAndArtifacts", bucket, "ocr/*", "receipts/*"),
                    write_objects("Artifacts", bucket, "receipts/*"),
                    send_to("SendEmbedMessages", *(queue.arn for queue in args.embed_queues.all)),
                    send_to("ParkBadDocuments", self.queue.dead_letter.arn),
                ],
                memory_mb=MEMORY_MB,
                timeout_seconds=TIMEOUT_SECONDS,
                log_retention_days=settings.log_retention_days,
            ),
            opts=child,
        )
        claim = self.queue.consume_with(
            MappedFunction(
                claimant=f"{name}-process-ocr-results",
                function=self.function.function,
                role_arn=self.function.role.arn,
                function_timeout_seconds=TIMEOUT_SECONDS,
                batch_size=10,
                maximum_concurrency=settings.upload.maximum_concurrency,
            ),
            self.function.role,
            parent=self,
        )
        assert claim.lock is not None  # noqa: S101 - it is on; S3 tries its right to announce when it is told to
        announced, locks = [_announce(self.queue, "ocr/", ".json")], [claim.lock]
        self.pictures = None
        if settings.ocr != "none":
            self.pictures = ReadPictures(
                name,
                ReadPicturesArgs(settings=settings, image_uri=args.image_uri, storage=args.storage),
                opts=child,
            )
            announced.append(_announce(self.pictures.queue, PICTURES_PREFIX))
            locks.append(self.pictures.lock)
        aws.s3.BucketNotification(
            f"{name}-notification",
            bucket=bucket.id,
            queues=announced,
            opts=pulumi.ResourceOptions(parent=self, depends_on=locks),
        )
        self.register_outputs({"queue_url": self.queue.url, "function_name": self.function.function.name})


def _announce(queue: Queue, prefix: str, suffix: str | None = None) -> aws.s3.BucketNotificationQueueArgs:
    return aws.s3.BucketNotificationQueueArgs(
        queue_arn=queue.arn, events=["s3:ObjectCreated:*"], filter_prefix=prefix, filter_suffix=suffix
    )
