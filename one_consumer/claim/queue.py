"""The claim on a queue, given once, and the lock: the queue's own policy, which lets one role receive.

The queue may be made by this program or looked up; it is neither changed nor replaced. Only the lock is a resource.
"""

from collections.abc import Sequence
from typing import Any, Protocol, Self

import pulumi

from one_consumer.claim.consumers import Consumer
from one_consumer.claim.handover import AT_ONCE, Handover
from one_consumer.claim.refusals import ClaimCode, ClaimRefused

POLICY_VERSION = "2012-10-17"
RULE = "one queue, one consumer: two would share its messages at random"


class Addressed(Protocol):
    """What has a queue's address: ``aws.sqs.Queue``, made or got by ``Queue.get``, and the result of ``get_queue``."""

    @property
    def url(self) -> Any:
        """The queue's URL, as a string or an output."""
        ...

    @property
    def arn(self) -> Any:
        """The queue's ARN, as a string or an output."""
        ...


class ClaimedQueue:
    """A queue and at most one consumer that is on.

    Args:
        name: of the queue in refusals, and of the lock: ``<name>-lock``.
        url: the queue's.
        arn: the queue's.
        decided_by: what chooses the consumer, for refusals, such as "the setting shop:consumer".
    """

    def __init__(
        self, name: str, *, url: pulumi.Input[str], arn: pulumi.Input[str], decided_by: str | None = None
    ) -> None:
        self._name, self._decided_by = name, decided_by
        self._url, self._arn = url, arn
        self._holder: Consumer | None = None
        self._lock: Any = None

    @classmethod
    def of(cls, name: str, queue: Addressed, *, decided_by: str | None = None) -> Self:
        """The claim on a queue that exists; arguments as of the class."""
        return cls(name, url=queue.url, arn=queue.arn, decided_by=decided_by)

    @property
    def holder(self) -> Consumer | None:
        """The consumer that is on; None while every claim is off."""
        return self._holder

    def claim(self, consumer: Consumer) -> None:
        """Claim the queue. Any number of consumers may that are off, and one that is on.

        Raises:
            ClaimRefused: ONE_CONSUMER, naming both claimants; CLAIM_AFTER_LOCK.
        """
        if consumer.on is None:
            return
        if self._holder is not None:
            decided = f"; {self._decided_by} decides which" if self._decided_by else ""
            raise ClaimRefused(
                ClaimCode.ONE_CONSUMER,
                value=f"queue {self._name!r} is consumed by {self._holder.claimant!r} ({self._holder.on}) "
                f"and claimed by {consumer.claimant!r} ({consumer.on})",
                rule=RULE,
                way_out=f"turn one of them off{decided}",
            )
        if self._lock is not None:
            raise ClaimRefused(
                ClaimCode.CLAIM_AFTER_LOCK,
                value=f"queue {self._name!r} is locked for everybody, and claimed by {consumer.claimant!r} "
                f"({consumer.on})",
                rule="the lock lets in whoever is on when it is written",
                way_out="claim the queue before it is locked",
            )
        self._holder = consumer

    def lock(
        self,
        *,
        statements: Sequence[dict[str, Any]] = (),
        handover: Handover = AT_ONCE,
        opts: pulumi.ResourceOptions | None = None,
    ) -> Any:
        """Write the queue's policy: only the holder's role receives; without a holder nobody does, and messages wait.

        In a switch the policy changes hands in one write. What is received already may still be deleted or given back
        by a consumer that lost the lock.

        Args:
            statements: others of the queue's policy. SQS keeps one policy a queue, and this one replaces it.
            handover: what must be off, and drained, before the policy changes.
            opts: of the policy.

        Returns:
            The ``aws.sqs.QueuePolicy``: what the next consumer's mapping or service depends on.

        Raises:
            ClaimRefused: LOCKED_TWICE.
        """
        # The class alone: the SDK's package of a service may import all of its resources.
        from pulumi_aws.sqs.queue_policy import QueuePolicy  # noqa: PLC0415

        if self._lock is not None:
            raise ClaimRefused(
                ClaimCode.LOCKED_TWICE,
                value=f"queue {self._name!r} is locked a second time",
                rule="SQS keeps one policy a queue",
                way_out="lock it once, after every claim, with the other statements of its policy",
            )
        closed: dict[str, Any] = {
            "Sid": "OnlyTheConsumerReceives",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:ReceiveMessage",
            "Resource": self._arn,
        }
        if self._holder is not None:
            role_arn = pulumi.Output.from_input(self._holder.role_arn)
            # IAM compares a role's session by the role's ARN (IAM user guide, aws:PrincipalArn); an evaluator that
            # compares the session's own ARN finds that as well.
            closed["Condition"] = {"ArnNotLike": {"aws:PrincipalArn": [role_arn, role_arn.apply(_sessions)]}}
        hooks = None
        if handover.drained is not None:
            hooks = pulumi.ResourceHookBinding(before_create=[handover.drained], before_update=[handover.drained])
        self._lock = QueuePolicy(
            f"{self._name}-lock",
            queue_url=self._url,
            policy=pulumi.Output.json_dumps({"Version": POLICY_VERSION, "Statement": [closed, *statements]}),
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(depends_on=list(handover.after), hooks=hooks), opts
            ),
        )
        return self._lock


def _sessions(role_arn: str) -> str:
    return role_arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/*"
