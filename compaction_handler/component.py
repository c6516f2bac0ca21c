"""Stage 3 as it is deployed: the table's stream to two queues, and the merge function that is their one consumer."""

import math
from dataclasses import dataclass

import pulumi

from compaction_handler.environment import MergeEnvironment, StreamProcessorEnvironment
from stack import aws
from stack.consumers import MappedFunction
from stack.functions import CollectionsMount, ImageFunction, ImageFunctionArgs, call_each, environment_variables
from stack.limits import CONCURRENCY_MINIMUM, FIFO_BATCH_MAXIMUM
from stack.naming import tags
from stack.network import Network
from stack.permissions import ask_index, read_objects, send_to, statement, use_table, write_objects
from stack.queues import DeadLetterQueue, Queue, QueueArgs, filter_patterns
from stack.rules import check_stream_destination
from stack.settings import Settings
from stack.storage import COLLECTIONS, Storage

COLLECTIONS_DIRECTORY = "/mnt/collections"
"""A function's file system is mounted under /mnt (AWS Lambda API reference, FileSystemConfig)."""
WORKING_DIRECTORY = "/tmp/working"  # noqa: S108 - Lambda's only writable place
STREAM_TIMEOUT_SECONDS, STREAM_MEMORY_MB = 60, 512
STREAM_BATCH_SIZE, STREAM_WINDOW_SECONDS, STREAM_RETRIES, STREAM_AGE_SECONDS = 1_000, 5, 10, 21_600
"""A thousand runs that arrive together are one invocation and four messages; an image is under 2 kB, the limit 6 MB
(docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html)."""
NEW_RUNS = {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"TYPE": {"S": ["COMPACTION_RUN"]}}}}
REQUESTS = {"dynamodb": {"NewImage": {"TYPE": {"S": ["QUEUE_REQUEST"]}}}}
"""Requests to SQS, new or changed by a tick that asks again; one that is deleted has no new image."""
MERGE_RECEIVES = 10
TABLE_OPERATIONS = ("GetItem", "BatchGetItem", "Query", "Scan", "PutItem", "UpdateItem", "ConditionCheckItem")
"""Runs are read, all of them for a rebuild, and settled; the lease and the pointer are written on conditions."""
TICK_MINUTES = 5
"""The tick also sweeps what lost its message; it comes at least this often, however rare publications are."""


@dataclass(frozen=True, kw_only=True)
class CompactionHandlerArgs:
    """What stage 3 needs."""

    settings: Settings
    image_uri: pulumi.Input[str]
    storage: Storage
    network: Network


class CompactionHandler(pulumi.ComponentResource):
    """Stream processor, lines and words queues, merge function and its tick."""

    queues: dict[str, Queue]
    stream_failures: DeadLetterQueue
    stream_processor: ImageFunction
    merge: ImageFunction

    def __init__(self, name: str, args: CompactionHandlerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stage:CompactionHandler", name, None, opts)
        self._name, self._args = name, args
        child = pulumi.ResourceOptions(parent=self)
        self.queues = {
            collection: Queue(
                f"{name}-{collection}",
                QueueArgs(
                    fifo=True,
                    visibility_timeout_seconds=6 * args.settings.merge.timeout_seconds,
                    max_receive_count=MERGE_RECEIVES,
                ),
                opts=child,
            )
            for collection in COLLECTIONS
        }
        self.stream_failures = DeadLetterQueue(f"{name}-stream-failures", fifo=False, opts=child)
        check_stream_destination(self.stream_failures.name, fifo=self.stream_failures.fifo)
        self.stream_processor = self._stream_processor()
        self.merge = self._merge()
        for collection, queue in self.queues.items():
            queue.consume_with(
                MappedFunction(
                    claimant=f"{name}-merge-{collection}",
                    function=self.merge.function,
                    role_arn=self.merge.role.arn,
                    function_timeout_seconds=args.settings.merge.timeout_seconds,
                    batch_size=FIFO_BATCH_MAXIMUM,
                    maximum_concurrency=CONCURRENCY_MINIMUM,
                ),
                self.merge.role,
                parent=self,
            )
        self._tick()
        self.register_outputs(
            {
                "lines_queue_url": self.queues["lines"].url,
                "words_queue_url": self.queues["words"].url,
                "merge_function_name": self.merge.function.name,
            }
        )

    def _stream_processor(self) -> ImageFunction:
        name, storage, settings = f"{self._name}-stream-processor", self._args.storage, self._args.settings
        child = pulumi.ResourceOptions(parent=self)
        queue_arns = [queue.arn for queue in self.queues.values()]
        processor = ImageFunction(
            name,
            ImageFunctionArgs(
                image_uri=self._args.image_uri,
                handler="compaction_handler.stream_processor.process_stream",
                variables=environment_variables(
                    StreamProcessorEnvironment,
                    {
                        "table_name": storage.table.name,
                        "lines_queue_url": self.queues["lines"].url,
                        "words_queue_url": self.queues["words"].url,
                        "stream_failure_queue_url": self.stream_failures.url,
                        "lines_dead_letter_queue_url": self.queues["lines"].dead_letter.url,
                        "words_dead_letter_queue_url": self.queues["words"].dead_letter.url,
                    },
                ),
                statements=[
                    statement(
                        "ReadTheStream",
                        [
                            "dynamodb:DescribeStream",
                            "dynamodb:GetRecords",
                            "dynamodb:GetShardIterator",
                        ],
                        [storage.table.stream_arn],
                    ),
                    statement(
                        "ListTheTablesStreams",
                        ["dynamodb:ListStreams"],
                        [pulumi.Output.concat(storage.table.arn, "/stream/*")],
                    ),
                    send_to("SendMerges", *queue_arns),
                    send_to("ParkBadRecords", self.stream_failures.arn),
                    # For the merge, which reaches no queue.
                    send_to("SendItsDeadLetters", *(queue.dead_letter.arn for queue in self.queues.values())),
                    statement("BringItsMessagesBack", ["sqs:ChangeMessageVisibility"], queue_arns),
                    # Runs have other partition keys.
                    use_table(
                        "CloseItsRequests",
                        storage.table,
                        "GetItem",
                        "DeleteItem",
                        Condition={
                            "ForAllValues:StringEquals": {
                                "dynamodb:LeadingKeys": [f"COLLECTION#{item}" for item in COLLECTIONS]
                            }
                        },
                    ),
                ],
                memory_mb=STREAM_MEMORY_MB,
                timeout_seconds=STREAM_TIMEOUT_SECONDS,
                log_retention_days=settings.log_retention_days,
            ),
            opts=child,
        )
        aws.lambda_.EventSourceMapping(
            f"{name}-maps-stream",
            event_source_arn=storage.table.stream_arn,
            function_name=processor.function.arn,
            starting_position="TRIM_HORIZON",
            batch_size=STREAM_BATCH_SIZE,
            maximum_batching_window_in_seconds=STREAM_WINDOW_SECONDS,
            function_response_types=["ReportBatchItemFailures"],
            # The defaults would let one bad record block its shard for a day.
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=STREAM_RETRIES,
            maximum_record_age_in_seconds=STREAM_AGE_SECONDS,
            destination_config=aws.lambda_.EventSourceMappingDestinationConfigArgs(
                on_failure=aws.lambda_.EventSourceMappingDestinationConfigOnFailureArgs(
                    destination_arn=self.stream_failures.arn
                )
            ),
            filter_criteria=filter_patterns(NEW_RUNS, REQUESTS),
            tags=tags(),
            opts=child,
        )
        return processor

    def _merge(self) -> ImageFunction:
        storage, network, settings = self._args.storage, self._args.network, self._args.settings
        vectors = storage.vectors
        return ImageFunction(
            f"{self._name}-merge",
            ImageFunctionArgs(
                image_uri=self._args.image_uri,
                handler="compaction_handler.handler.merge",
                variables=environment_variables(
                    MergeEnvironment,
                    {
                        "table_name": storage.table.name,
                        "vectors_bucket": vectors.bucket,
                        "embedding_model": settings.embedding_model,
                        "embedding_dimensions": settings.embedding_dimensions,
                        "collections_directory": COLLECTIONS_DIRECTORY,
                        "working_directory": WORKING_DIRECTORY,
                        "bootstrap_collections": settings.bootstrap_collections,
                        "publish_every_seconds": settings.merge.publish_every_seconds,
                        "lease_seconds": settings.merge.lease_seconds,
                        "versions_kept_seconds": settings.merge.versions_kept_seconds,
                    },
                ),
                statements=[
                    *read_objects("DeltasAndSnapshots", vectors, *(f"{item}/*" for item in COLLECTIONS)),
                    write_objects(
                        "Snapshots",
                        vectors,
                        *(f"{item}/versions/*" for item in COLLECTIONS),
                        *(f"{item}/CURRENT" for item in COLLECTIONS),
                    ),
                    statement(
                        "RemoveOldSnapshots",
                        ["s3:DeleteObject", "s3:AbortMultipartUpload"],
                        [pulumi.Output.concat(vectors.arn, f"/{item}/versions/*") for item in COLLECTIONS],
                    ),
                    use_table("SettleRuns", storage.table, *TABLE_OPERATIONS),
                    ask_index(storage.table),
                    statement(
                        "PublishCollections",
                        ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                        [storage.file_system.arn],
                        Condition={"StringEquals": {"elasticfilesystem:AccessPointArn": storage.access_point.arn}},
                    ),
                ],
                memory_mb=settings.merge.memory_mb,
                timeout_seconds=settings.merge.timeout_seconds,
                log_retention_days=settings.log_retention_days,
                ephemeral_storage_mb=settings.merge.ephemeral_storage_mb,
                mount=CollectionsMount(
                    access_point_arn=storage.access_point.arn,
                    path=COLLECTIONS_DIRECTORY,
                    subnet_ids=[subnet.id for subnet in network.subnets.values()],
                    join=network.merge,
                    mount_targets=storage.mount_targets,
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _tick(self) -> None:
        minutes = min(TICK_MINUTES, max(1, math.ceil(self._args.settings.merge.publish_every_seconds / 60)))
        call_each(
            f"{self._name}-tick", self.merge.function, minutes=minutes, event='{"source": "receipts.tick"}', parent=self
        )
