"""Queues, each with its dead letter queue, and the claim: the one way to receive from a queue, given once.

Anyone may be granted sending. Receiving cannot be granted, only claimed, by ``Queue.consume_with``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from stack.errors import RefusalCode, StackRefusal
from stack.naming import QUEUE_NAME_LIMIT, physical_name, tags
from stack.permissions import document, statement
from stack.settings import CONCURRENCY_MAXIMUM, CONCURRENCY_MINIMUM, FIFO_BATCH_MAXIMUM, SECONDS_PER_DAY

DEAD_LETTER_RETENTION_SECONDS = 14 * SECONDS_PER_DAY
"""The longest SQS has (quotas-messages); deltas and artifacts outlive it, see ``stack/storage.py``."""


@dataclass(frozen=True, kw_only=True)
class QueueArgs:
    """A queue.

    Attributes:
        fifo: FIFO of high throughput, with a FIFO dead letter queue; else both are standard.
        visibility_timeout_seconds: at least the timeout of the function that consumes it.
        max_receive_count: deliveries before the dead letter queue.
        retention_seconds: how long a message waits.
    """

    fifo: bool
    visibility_timeout_seconds: int
    max_receive_count: int = 5
    retention_seconds: int = 14 * SECONDS_PER_DAY


@dataclass(frozen=True, kw_only=True)
class FunctionConsumer:
    """A function behind a mapping; on when ``enabled``."""

    claimant: str
    function: aws.lambda_.Function
    role: aws.iam.Role
    function_timeout_seconds: int
    batch_size: int
    maximum_concurrency: int
    enabled: bool | None = True
    start_after: Sequence[pulumi.Resource] = ()

    @property
    def on(self) -> bool:
        """Unset means enabled, on AWS too."""
        return self.enabled is not False


@dataclass(frozen=True, kw_only=True)
class ServiceConsumer:
    """A polling service; on when a task may run."""

    claimant: str
    role: aws.iam.Role
    desired_count: int
    maximum_capacity: int

    @property
    def on(self) -> bool:
        """A desired count of 0 is not off while scaling may put tasks back."""
        return self.desired_count > 0 or self.maximum_capacity > 0


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A consumer's standing with its queue: its rights, and for a function its mapping."""

    rights: aws.iam.RolePolicy
    mapping: aws.lambda_.EventSourceMapping | None


class Queue(pulumi.ComponentResource):
    """A queue, its dead letter queue, and at most one consumer that is on."""

    url: pulumi.Output[str]
    arn: pulumi.Output[str]
    dead_letter_url: pulumi.Output[str]
    dead_letter_arn: pulumi.Output[str]

    def __init__(self, name: str, args: QueueArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stack:Queue", name, None, opts)
        self._name = name
        self._args = args
        self._holder: str | None = None
        child = pulumi.ResourceOptions(parent=self)
        suffix = ".fifo" if args.fifo else ""
        # Both of this pair or neither: any other combination is silently of normal throughput.
        fifo: dict[str, Any] = (
            {"fifo_queue": True, "deduplication_scope": "messageGroup", "fifo_throughput_limit": "perMessageGroupId"}
            if args.fifo
            else {}
        )
        self.dead_letter = aws.sqs.Queue(
            f"{name}-dead-letter",
            name=physical_name(f"{name}-dead-letter", limit=QUEUE_NAME_LIMIT, suffix=suffix),
            message_retention_seconds=DEAD_LETTER_RETENTION_SECONDS,
            sqs_managed_sse_enabled=True,
            tags=tags(),
            opts=child,
            **fifo,
        )
        self.queue = aws.sqs.Queue(
            f"{name}-queue",
            name=physical_name(name, limit=QUEUE_NAME_LIMIT, suffix=suffix),
            visibility_timeout_seconds=args.visibility_timeout_seconds,
            message_retention_seconds=args.retention_seconds,
            receive_wait_time_seconds=20,
            sqs_managed_sse_enabled=True,
            redrive_policy=pulumi.Output.json_dumps(
                {"deadLetterTargetArn": self.dead_letter.arn, "maxReceiveCount": args.max_receive_count}
            ),
            tags=tags(),
            opts=child,
            **fifo,
        )
        aws.sqs.RedriveAllowPolicy(
            f"{name}-redrive-allow",
            queue_url=self.dead_letter.url,
            redrive_allow_policy=pulumi.Output.json_dumps(
                {"redrivePermission": "byQueue", "sourceQueueArns": [self.queue.arn]}
            ),
            opts=child,
        )
        self.url, self.arn = self.queue.url, self.queue.arn
        self.dead_letter_url, self.dead_letter_arn = self.dead_letter.url, self.dead_letter.arn
        self.register_outputs(
            {
                "url": self.url,
                "arn": self.arn,
                "dead_letter_url": self.dead_letter_url,
                "dead_letter_arn": self.dead_letter_arn,
            }
        )

    def consume_with(self, consumer: FunctionConsumer | ServiceConsumer, *, parent: pulumi.Resource) -> Claim:
        """Claim the queue. A consumer that is off may claim beside one that is on; it gets no right to receive.

        Args:
            consumer: who receives.
            parent: the component that the rights and the mapping belong to.

        Raises:
            StackRefusal: ONE_CONSUMER, VISIBILITY_BELOW_TIMEOUT or OUT_OF_RANGE, before anything is made.
        """
        if isinstance(consumer, FunctionConsumer):
            self._check_mapping(consumer)
        if consumer.on:
            if self._holder is not None:
                raise StackRefusal(
                    RefusalCode.ONE_CONSUMER,
                    value=f"queue {self._name!r} is consumed by {self._holder!r} and claimed by {consumer.claimant!r}",
                    rule="one queue, one consumer: two would share its messages at random",
                    way_out="turn one of them off; for the embed queue receipts:embedConsumer decides which",
                )
            self._holder = consumer.claimant
        rights = aws.iam.RolePolicy(
            f"{consumer.claimant}-consumes-{self._name}",
            role=consumer.role.id,
            policy=document(self._statements(on=consumer.on)),
            opts=pulumi.ResourceOptions(parent=parent),
        )
        if isinstance(consumer, ServiceConsumer):
            return Claim(rights=rights, mapping=None)
        mapping = aws.lambda_.EventSourceMapping(
            f"{consumer.claimant}-maps-{self._name}",
            event_source_arn=self.arn,
            function_name=consumer.function.arn,
            enabled=consumer.enabled,
            batch_size=consumer.batch_size,
            # No batching window: AWS refuses one on FIFO. Without the answer type, failed messages would be deleted.
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=aws.lambda_.EventSourceMappingScalingConfigArgs(
                maximum_concurrency=consumer.maximum_concurrency
            ),
            tags=tags(),
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[rights, *consumer.start_after]),
        )
        return Claim(rights=rights, mapping=mapping)

    def _statements(self, *, on: bool) -> list[dict[str, Any]]:
        # A consumer that was just turned off may still finish what it holds; it may take nothing new.
        finish = statement(
            "FinishWhatItHolds",
            ["sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"],
            [self.arn],
        )
        return [finish, statement("ReceiveAsTheOnlyConsumer", ["sqs:ReceiveMessage"], [self.arn])] if on else [finish]

    def _check_mapping(self, consumer: FunctionConsumer) -> None:
        if self._args.visibility_timeout_seconds < consumer.function_timeout_seconds:
            raise StackRefusal(
                RefusalCode.VISIBILITY_BELOW_TIMEOUT,
                value=f"queue {self._name!r} hides for {self._args.visibility_timeout_seconds} s, "
                f"{consumer.claimant!r} runs up to {consumer.function_timeout_seconds} s",
                rule="a message stays hidden at least as long as the function may run",
                way_out="raise the visibility timeout to six times the function's",
            )
        if not 1 <= consumer.batch_size <= FIFO_BATCH_MAXIMUM or not (
            CONCURRENCY_MINIMUM <= consumer.maximum_concurrency <= CONCURRENCY_MAXIMUM
        ):
            raise StackRefusal(
                RefusalCode.OUT_OF_RANGE,
                value=f"batch size {consumer.batch_size}, maximum concurrency {consumer.maximum_concurrency}",
                rule=f"1 to {FIFO_BATCH_MAXIMUM}, and {CONCURRENCY_MINIMUM} to {CONCURRENCY_MAXIMUM}",
                way_out="choose values in these ranges",
            )


def allow_bucket_to_send(
    name: str, queue: Queue, bucket: aws.s3.Bucket, parent: pulumi.Resource
) -> aws.sqs.QueuePolicy:
    """Let S3 announce this bucket's objects on this queue."""
    policy = {
        "Sid": "AnnouncedByTheBucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue.arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": bucket.arn}},
    }
    return aws.sqs.QueuePolicy(
        name, queue_url=queue.url, policy=document([policy]), opts=pulumi.ResourceOptions(parent=parent)
    )


def filter_pattern(pattern: dict[str, Any]) -> aws.lambda_.EventSourceMappingFilterCriteriaArgs:
    """A mapping's filter of one pattern."""
    return aws.lambda_.EventSourceMappingFilterCriteriaArgs(
        filters=[aws.lambda_.EventSourceMappingFilterCriteriaFilterArgs(pattern=json.dumps(pattern))]
    )
