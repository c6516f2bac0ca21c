"""Queues, their dead letter queues, and the one way to receive from them, ``Queue.consume_with``.

Anyone may be granted sending. Receiving cannot be granted, only claimed (``one_consumer.claim``): a role's policy lets
it consume where the queue lets it, and the queue's lock lets one role.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from one_consumer.claim.consumers import Consumer, ServiceConsumer
from one_consumer.claim.handover import AT_ONCE, Handover
from one_consumer.claim.queue import ClaimedQueue
from stack import aws
from stack.consumers import MappedFunction
from stack.errors import RefusalCode, StackRefusal
from stack.limits import SECONDS_PER_DAY
from stack.naming import QUEUE_NAME_LIMIT, physical_name, tags
from stack.permissions import Statement, account_id, attach_policy, document, refuse_without_tls, statement
from stack.rules import check_dead_letter, check_mapping

CONSUMER_TAG = "Consumer"
DEAD_LETTER_RETENTION_SECONDS = 14 * SECONDS_PER_DAY
"""The longest SQS has (quotas-messages); deltas and artifacts outlive it, see ``stack/storage.py``."""

MESSAGE_ACTIONS = ("SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")
"""What carries a message or its handle."""


def _kind(fifo: bool) -> dict[str, Any]:
    # Both of this pair or neither: any other combination is silently of normal throughput.
    pair = {"fifo_queue": True, "deduplication_scope": "messageGroup", "fifo_throughput_limit": "perMessageGroupId"}
    return pair if fifo else {}


class DeadLetterQueue(pulumi.ComponentResource):
    """Where messages go that cannot be consumed; of one kind, for queues of that kind."""

    url: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, *, fifo: bool, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stack:DeadLetterQueue", name, None, opts)
        self.name, self.fifo = name, fifo
        self.queue = aws.sqs.Queue(
            f"{name}-queue",
            name=physical_name(name, limit=QUEUE_NAME_LIMIT, suffix=".fifo" if fifo else ""),
            message_retention_seconds=DEAD_LETTER_RETENTION_SECONDS,
            sqs_managed_sse_enabled=True,
            tags=tags(),
            opts=pulumi.ResourceOptions(parent=self),
            **_kind(fifo),
        )
        self.url, self.arn = self.queue.url, self.queue.arn
        aws.sqs.QueuePolicy(
            f"{name}-tls-only",
            queue_url=self.url,
            policy=document([_tls_only(self.arn)]),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"url": self.url, "arn": self.arn})

    def serve(self, sources: "Sequence[Queue]") -> None:
        """Take dead letters from these queues and from no others; said once."""
        aws.sqs.RedriveAllowPolicy(
            f"{self.name}-redrive-allow",
            queue_url=self.url,
            redrive_allow_policy=pulumi.Output.json_dumps(
                {"redrivePermission": "byQueue", "sourceQueueArns": [source.arn for source in sources]}
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )


@dataclass(frozen=True, kw_only=True)
class QueueArgs:
    """A queue.

    Attributes:
        fifo: FIFO of high throughput, or standard.
        visibility_timeout_seconds: at least the timeout of the function that consumes it.
        max_receive_count: deliveries before the dead letter queue.
        retention_seconds: how long a message waits.
        dead_letter: one that is shared, whose owner says whom it serves; None makes one of its own.
        announces: the bucket whose new objects S3 may announce here.
        before_delete: run before the queue is deleted; its failure keeps it.
        consumer: the choice of its consumer, which the queue bears as a tag; None for a queue whose consumer never
            changes.
    """

    fifo: bool
    visibility_timeout_seconds: int
    max_receive_count: int = 5
    retention_seconds: int = 14 * SECONDS_PER_DAY
    dead_letter: DeadLetterQueue | None = None
    announces: aws.s3.Bucket | None = None
    before_delete: pulumi.ResourceHook | None = None
    consumer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A consumer's standing with its queue.

    Attributes:
        rights: what its role may do; it receives only where the lock lets it.
        lock: the queue's policy that names the role; None when the consumer is off.
        mapping: of a function.
    """

    rights: aws.iam.RolePolicy
    lock: aws.sqs.QueuePolicy | None
    mapping: aws.lambda_.EventSourceMapping | None


class Queue(pulumi.ComponentResource):
    """A queue, its dead letter queue, and at most one consumer that is on.

    Raises:
        StackRefusal: DEAD_LETTER_KIND.
    """

    url: pulumi.Output[str]
    arn: pulumi.Output[str]
    name: str
    physical_name: str
    visibility_timeout_seconds: int

    def __init__(self, name: str, args: QueueArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stack:Queue", name, None, opts)
        self._name, self._args = name, args
        self.name, self.visibility_timeout_seconds = name, args.visibility_timeout_seconds
        child = pulumi.ResourceOptions(parent=self)
        self.dead_letter = args.dead_letter or DeadLetterQueue(f"{name}-dead-letter", fifo=args.fifo, opts=child)
        check_dead_letter(name, fifo=args.fifo, dead_letter_fifo=self.dead_letter.fifo)
        self.physical_name = physical_name(name, limit=QUEUE_NAME_LIMIT, suffix=".fifo" if args.fifo else "")
        hooks = pulumi.ResourceHookBinding(before_delete=[args.before_delete]) if args.before_delete else None
        self.queue = aws.sqs.Queue(
            f"{name}-queue",
            name=self.physical_name,
            visibility_timeout_seconds=args.visibility_timeout_seconds,
            message_retention_seconds=args.retention_seconds,
            receive_wait_time_seconds=20,
            sqs_managed_sse_enabled=True,
            redrive_policy=pulumi.Output.json_dumps(
                {"deadLetterTargetArn": self.dead_letter.arn, "maxReceiveCount": args.max_receive_count}
            ),
            tags=tags() if args.consumer is None else {**tags(), CONSUMER_TAG: args.consumer},
            opts=pulumi.ResourceOptions(parent=self, hooks=hooks),
            **_kind(args.fifo),
        )
        self.url, self.arn = self._of_whole_updates(self.queue.url), self._of_whole_updates(self.queue.arn)
        decided_by = None if args.consumer is None else "receipts:embedConsumer"
        self._claimed = ClaimedQueue(name, url=self.url, arn=self.arn, decided_by=decided_by)
        if args.dead_letter is None:
            self.dead_letter.serve([self])
        self.register_outputs({"url": self.url, "arn": self.arn})

    def _of_whole_updates(self, value: pulumi.Output[str]) -> pulumi.Output[str]:
        """An output of the queue that fails when an update leaves the queue out while its consumer is to change.

        Everything that a switch turns off, waits for or turns on is made of such an output, so that a targeted update
        is refused before any of it. Pulumi gives the program the old tags of a resource that is no target.
        """
        wanted = self._args.consumer
        if wanted is None:
            return value

        def check(seen: Sequence[Any]) -> str:
            found = (seen[1] or {}).get(CONSUMER_TAG)
            if found != wanted:
                raise StackRefusal(
                    RefusalCode.TARGETED_SWITCH,
                    value=f"queue {self._name!r} is tagged {CONSUMER_TAG} = {found}, {wanted} is to consume it, and "
                    "this update leaves the queue out",
                    rule="the consumer changes in one update of the whole stack",
                    way_out="run pulumi up without --target and --exclude; or set receipts:embedConsumer to what the "
                    "queue is tagged with, update the targets, then switch",
                )
            return seen[0]

        return pulumi.Output.all(value, self.queue.tags).apply(check)

    def consume_with(
        self,
        consumer: Consumer,
        role: aws.iam.Role,
        *,
        parent: pulumi.Resource,
        handover: Handover = AT_ONCE,
    ) -> Claim:
        """Claim the queue. Those that are off claim first; the one that is on claims last and gets the lock.

        Args:
            consumer: who receives.
            role: the consumer's, which gets the rights to.
            parent: the component that the rights and the mapping belong to.
            handover: what must be off, and drained, before this consumer may receive.

        Raises:
            ClaimRefused: ONE_CONSUMER, before anything is made.
            StackRefusal: a rule of ``stack/rules.py``; the same.
        """
        if isinstance(consumer, MappedFunction):
            check_mapping(
                consumer,
                queue=self._name,
                fifo=self._args.fifo,
                visibility_timeout_seconds=self._args.visibility_timeout_seconds,
            )
        self._claimed.claim(consumer)
        rights = attach_policy(
            f"{consumer.claimant}-consumes-{self._name}", role, [self._consume(consumer)], parent=parent
        )
        lock = self._lock(handover) if consumer.on else None
        if not isinstance(consumer, MappedFunction):
            return Claim(rights=rights, lock=lock, mapping=None)
        return Claim(rights=rights, lock=lock, mapping=self._map(consumer, parent, rights, lock))

    def pause(self, handover: Handover) -> None:
        """Lock the queue for everybody: messages wait. For a queue whose every claim is off."""
        self._lock(handover)

    def _consume(self, consumer: Consumer) -> Statement:
        # Lambda looks for these in the role when a mapping is made, enabled or not; so they do not follow the claim.
        actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
        if not isinstance(consumer, ServiceConsumer):
            actions.append("sqs:GetQueueAttributes")
        return statement("ConsumeWhereTheQueueLets", actions, [self.arn])

    def _lock(self, handover: Handover) -> aws.sqs.QueuePolicy:
        """The queue's own policy: a switch changes it when the outgoing consumer is off, before the other starts."""
        senders: list[Statement] = []
        if self._args.announces is not None:
            senders.append(
                {
                    "Sid": "AnnouncedByTheBucket",
                    "Effect": "Allow",
                    "Principal": {"Service": "s3.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": self.arn,
                    # A bucket's ARN has no account: another account could own a bucket of that name later.
                    "Condition": {
                        "ArnEquals": {"aws:SourceArn": self._args.announces.arn},
                        "StringEquals": {"aws:SourceAccount": account_id()},
                    },
                }
            )
        return self._claimed.lock(
            statements=[*senders, _tls_only(self.arn)], handover=handover, opts=pulumi.ResourceOptions(parent=self)
        )

    def _map(
        self,
        consumer: MappedFunction,
        parent: pulumi.Resource,
        rights: aws.iam.RolePolicy,
        lock: aws.sqs.QueuePolicy | None,
    ) -> aws.lambda_.EventSourceMapping:
        optional: dict[str, Any] = {}
        if consumer.maximum_concurrency is not None:
            optional["scaling_config"] = aws.lambda_.EventSourceMappingScalingConfigArgs(
                maximum_concurrency=consumer.maximum_concurrency
            )
        if consumer.provisioned_pollers is not None:
            optional["provisioned_poller_config"] = aws.lambda_.EventSourceMappingProvisionedPollerConfigArgs(
                maximum_pollers=consumer.provisioned_pollers
            )
        if consumer.batching_window_seconds:
            optional["maximum_batching_window_in_seconds"] = consumer.batching_window_seconds
        return aws.lambda_.EventSourceMapping(
            f"{consumer.claimant}-maps-{self._name}",
            event_source_arn=self.arn,
            function_name=consumer.function.arn,
            enabled=consumer.enabled,
            batch_size=consumer.batch_size,
            # Without the answer type, messages that failed would be deleted.
            function_response_types=["ReportBatchItemFailures"],
            tags=tags(),
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[rights, *([lock] if lock else [])]),
            **optional,
        )


def _tls_only(queue_arn: pulumi.Output[str]) -> Statement:
    return refuse_without_tls("sqs", MESSAGE_ACTIONS, [queue_arn])


def filter_patterns(*patterns: dict[str, Any]) -> aws.lambda_.EventSourceMappingFilterCriteriaArgs:
    """A mapping's filter, which admits what one of up to five patterns admits."""
    return aws.lambda_.EventSourceMappingFilterCriteriaArgs(
        filters=[
            aws.lambda_.EventSourceMappingFilterCriteriaFilterArgs(pattern=json.dumps(pattern)) for pattern in patterns
        ]
    )
