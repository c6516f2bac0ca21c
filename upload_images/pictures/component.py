"""Stage 0 as it is deployed: pictures are announced on a queue of their own and read by a function of the image.

The bucket's notification is in ``upload_images/component.py``: a bucket has only one, for all queues.
"""

from dataclasses import dataclass

import pulumi

from stack import aws
from stack.consumers import MappedFunction
from stack.functions import ImageFunction, ImageFunctionArgs, environment_variables
from stack.permissions import read_objects, send_to, write_objects
from stack.queues import Queue, QueueArgs
from stack.settings import Settings
from stack.storage import Storage
from upload_images.pictures.environment import ReadPicturesEnvironment

TIMEOUT_SECONDS = 120
"""Longer than a child may take (``limits.READING_SECONDS``), which is then killed and reported."""
VISIBILITY_TIMEOUT_SECONDS = 6 * TIMEOUT_SECONDS
MEMORY_MB = 2_048
"""Of the child 1,500 (``limits.CHILD_MEMORY_BYTES``). Lambda gives a whole processor with 1,769 (AWS Lambda developer
guide, configuration-memory), and Tesseract runs on one."""
MAXIMUM_RECEIVES = 3
"""What cannot be read twice is not read a fourth time: every try may cost ``TIMEOUT_SECONDS``."""


@dataclass(frozen=True, kw_only=True)
class ReadPicturesArgs:
    """What stage 0 needs; it sends nothing but dead letters: S3 announces what it writes."""

    settings: Settings
    image_uri: pulumi.Input[str]
    storage: Storage


class ReadPictures(pulumi.ComponentResource):
    """Pictures in, OCR results out.

    Attributes:
        lock: the queue's policy, without which S3 may not announce.
    """

    queue: Queue
    function: ImageFunction
    lock: aws.sqs.QueuePolicy

    def __init__(self, name: str, args: ReadPicturesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stage:ReadPictures", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = args.storage.artifacts
        self.queue = Queue(
            f"{name}-pictures",
            QueueArgs(
                fifo=False,
                visibility_timeout_seconds=VISIBILITY_TIMEOUT_SECONDS,
                max_receive_count=MAXIMUM_RECEIVES,
                announces=bucket,
            ),
            opts=child,
        )
        self.function = ImageFunction(
            f"{name}-read-pictures",
            ImageFunctionArgs(
                image_uri=args.image_uri,
                handler="upload_images.pictures.handler.read_pictures",
                variables=environment_variables(
                    ReadPicturesEnvironment,
                    {
                        "artifacts_bucket": bucket.bucket,
                        "pictures_dead_letter_queue_url": self.queue.dead_letter.url,
                        "maximum_receives": MAXIMUM_RECEIVES,
                    },
                ),
                statements=[
                    *read_objects("PicturesAndResults", bucket, "images/*", "ocr/*", "readings/*"),
                    write_objects("Results", bucket, "ocr/*", "readings/*"),
                    send_to("ParkBadPictures", self.queue.dead_letter.arn),
                ],
                memory_mb=MEMORY_MB,
                timeout_seconds=TIMEOUT_SECONDS,
                log_retention_days=args.settings.log_retention_days,
            ),
            opts=child,
        )
        claim = self.queue.consume_with(
            MappedFunction(
                claimant=f"{name}-read-pictures",
                function=self.function.function,
                role_arn=self.function.role.arn,
                function_timeout_seconds=TIMEOUT_SECONDS,
                # One picture may take nearly the whole timeout.
                batch_size=1,
                maximum_concurrency=args.settings.upload.maximum_concurrency,
            ),
            self.function.role,
            parent=self,
        )
        assert claim.lock is not None  # noqa: S101 - it is on
        self.lock = claim.lock
        self.register_outputs({"queue_url": self.queue.url, "function_name": self.function.function.name})
