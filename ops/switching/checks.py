"""The six signs that the chosen consumer is at work and the other is not, looked for until they show or time is up.

A look that raises is a sign that has not shown yet. What follows from signs that never show is not decided here.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from ops.auditing import audit
from ops.failures import reason
from ops.operations import remove_unseen
from ops.probing import probe_document
from ops.submitting import UploadedDocument, upload
from ops.switching.plan import incoming, outgoing
from ops.switching.stacks import SwitchableStack
from ops.target import OperatorError, Target
from pipeline.collections.receipts import ReceiptKey
from pipeline.contracts.identifiers import COLLECTIONS, MANIFEST_FILE, delta_key
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun
from pipeline.deltas import has_delta
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository
from stack.choice import EmbedConsumer

POLL_SECONDS = 0.5
CHECK_SECONDS = 300.0
"""For a consumer that runs. 120 until its new right holds everywhere (``PROPAGATION_SECONDS`` of the worker), 60 until
S3 announces the object (Amazon S3 user guide, EventNotifications: seconds, sometimes a minute or longer), and 60 each
for stage 1 and stage 2 to start from their image and to do their work."""
COUNT_SECONDS = 60.0
"""Until what waits is counted: once a minute (``compaction_worker/waiting.py``), by the stack's own function, so the
silence of SQS's metrics after six idle hours does not matter."""
ALARM_SECONDS = 60.0
"""Until the alarm of the worker's scaling has looked at the count and acts: it looks once a minute."""
WORKER_START_SECONDS = 600.0
"""Until a task has pulled its image and is healthy: ``START_SECONDS`` of the worker's component."""
CHECK_TITLES = (
    "a receipt is uploaded",
    "the queue drains",
    "the incoming consumer's logs show work",
    "the outgoing consumer is idle, and no other is on",
    "deltas appear in S3",
    "a CompactionRun appears",
)


class CheckState(StrEnum):
    """How far a check is."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"


@dataclass
class Check:
    """One check.

    Attributes:
        detail: what was seen last.
        lasting: it must still hold when every other check has passed, so it is looked at until then.
    """

    title: str
    look: Callable[[], tuple[bool, str]]
    lasting: bool = False
    state: CheckState = CheckState.WAITING
    detail: str = ""


@dataclass(kw_only=True)
class SwitchChecks:
    """The checks of one switch.

    Attributes:
        stack: already updated.
        wanted: who consumes now.
        since: when the update had ended; work that the outgoing consumer logs later is work that it should not do.
        backlog: messages that waited before the switch.
        document: the check's receipt, as it is uploaded.
    """

    stack: SwitchableStack
    wanted: EmbedConsumer
    since: datetime
    backlog: int
    document: bytes = field(init=False)
    _receipt: UploadedDocument | None = field(init=False, default=None)
    _tried: bool = field(init=False, default=False)
    _counts: list[int] = field(init=False, default_factory=list)
    _fewest: int = field(init=False)
    _progressed: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._fewest = self.backlog
        # One document for every try: an upload that was answered by an error may have arrived.
        self.document = probe_document("SWITCH CHECK", self.since)

    def checks(self) -> list[Check]:
        """All six; without an incoming consumer only the check that no consumer works."""
        looks = (
            self._uploaded,
            self._queue_drains,
            self._incoming_logs,
            self._outgoing_is_idle,
            self._deltas,
            self._run,
        )
        checks = [
            Check(title, look, lasting=look == self._outgoing_is_idle)
            for title, look in zip(CHECK_TITLES, looks, strict=True)
        ]
        return checks if incoming(self.wanted) else [check for check in checks if check.lasting]

    def run(self, timeout_seconds: float, on_change: Callable[[list[Check]], object]) -> list[Check]:
        """Look at all of them again and again.

        Args:
            timeout_seconds: then what has not shown has failed. As long as fewer and fewer messages wait that came
                before the check's own, there is progress, and the time begins again.
            on_change: called after every look.
        """
        checks = self.checks()
        once = [check for check in checks if not check.lasting]
        self._progressed = time.monotonic()
        while True:
            over = time.monotonic() >= self._progressed + timeout_seconds
            # Those that must last come last: the others' state is then of this round.
            for check in [*once, *(check for check in checks if check.lasting)]:
                if check.state is not CheckState.WAITING:
                    continue
                shows, check.detail = _looked(check.look)
                settled = over or not check.lasting or all(other.state is CheckState.PASSED for other in once)
                if shows and settled:
                    check.state = CheckState.PASSED
                elif over:
                    check.state = CheckState.FAILED
            on_change(checks)
            if over or all(check.state is CheckState.PASSED for check in checks):
                return checks
            time.sleep(POLL_SECONDS)

    def clean_up(self) -> ReceiptKey | None:
        """Remove the checks' receipt from the collections; None when it was never uploaded.

        It is removed wherever it is by then: what is still on its way is older than its removal.
        """
        if not self._tried:
            return None
        receipt = ReceiptKey(json.loads(self.document)["image_id"], 1)
        remove_unseen(self._target, receipt)
        return receipt

    def _uploaded(self) -> tuple[bool, str]:
        if self._receipt is None:
            self._tried = True
            self._receipt = upload(self._target, "switch check", self.document)
        told = f"{self._receipt.key}, run {self.reference.run_id}"
        # Stage 1 makes a receipt's manifest when it has written everything else of it.
        listed = self._target.s3.list_objects_v2(
            Bucket=self._target.outputs["artifactsBucket"], Prefix=f"receipts/{self.reference.image_id}/"
        )
        taken = any(item["Key"].endswith(f"/{MANIFEST_FILE}") for item in listed.get("Contents", []))
        return taken, told if taken else f"{told}; stage 1 has not made its artifacts yet"

    def _queue_drains(self) -> tuple[bool, str]:
        consumed = self._recorded() is not None
        waiting = messages(self._target)
        if not consumed:
            if waiting < self._fewest:
                self._fewest, self._progressed = waiting, time.monotonic()
            return False, f"the check's own message is not consumed; {waiting} messages, {self.backlog} before"
        self._counts.append(waiting)
        return (
            drains(self._counts, self.backlog),
            f"the check's own message is consumed; {waiting} messages, {self.backlog} before the switch",
        )

    def _incoming_logs(self) -> tuple[bool, str]:
        host = incoming(self.wanted)
        assert host is not None  # noqa: S101 - without an incoming consumer this check is not made
        lines = self.stack.logs(host, self.since)
        return any(self.reference.run_id in line for line in lines), f"{len(lines)} lines since the switch"

    def _outgoing_is_idle(self) -> tuple[bool, str]:
        wrong = [item for item in audit(self._target, scheduled=False) if item.finding]
        if wrong:
            return False, "; ".join(f"{item.finding} on {item.expected.label}" for item in wrong)
        host = outgoing(self.wanted)
        lines = self.stack.logs(host, self.since) if host else []
        return not lines, f"{len(lines)} lines since the switch" + (f", the last: {lines[-1][:100]}" if lines else "")

    def _deltas(self) -> tuple[bool, str]:
        run = self._recorded()
        if run is None:
            return False, "the run that records their digests is not recorded yet"
        objects = ObjectStore(self._target.s3)
        missing = [
            delta_key(collection, run.run_id, digest)
            for collection in COLLECTIONS
            if not has_delta(
                objects, run.delta_bucket, collection, run.run_id, digest := run.progress(collection).delta_sha256 or ""
            )
        ]
        return not missing, (
            f"missing: {', '.join(missing)}" if missing else f"s3://{run.delta_bucket}/.../{run.run_id}/"
        )

    def _run(self) -> tuple[bool, str]:
        run = self._recorded()
        if run is None:
            return False, "not recorded yet"
        return run.consumer == incoming(self.wanted), f"recorded by {run.consumer}, lines {run.lines.state}"

    def _recorded(self) -> CompactionRun | None:
        return RunRepository(self._target.outputs["tableName"], self._target.dynamodb).find(self.reference)

    @cached_property
    def _target(self) -> Target:
        # Asked for by the first look that needs it: that it cannot be had is then a reason, like any other.
        return self.stack.target()

    @property
    def reference(self) -> RunReference:
        """The run of the check's receipt.

        Raises:
            OperatorError: NOT_UPLOADED, before the first look has shown.
        """
        if self._receipt is None:
            raise OperatorError("NOT_UPLOADED", "the check's receipt is not uploaded", "see the first check")
        return self._receipt.runs[0]


def check_seconds(wanted: EmbedConsumer, *, on_fargate: bool) -> float:
    """How long the checks may take: what the chosen consumer needs at worst.

    A worker that was idle already may be at zero tasks, so on Fargate there is time for one that starts from zero:
    until the message is counted, until the alarm has seen the count, and until the task works.

    Args:
        wanted: who consumes now.
        on_fargate: whether the worker's tasks start there; on one machine they are processes.
    """
    from_zero = COUNT_SECONDS + ALARM_SECONDS + WORKER_START_SECONDS
    return CHECK_SECONDS + (from_zero if on_fargate and incoming(wanted) == "ecs" else 0.0)


def _looked(look: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks and the way back come after it
        return False, f"not yet: {reason(error)}"


def embed_queues(outputs: Mapping[str, Any]) -> Mapping[str, str]:
    """The queues of stage 2, label to address, as the audit labels them; their dead letters are not among them."""
    return outputs["embedQueueUrls"]


def messages(target: Target) -> int:
    """How many wait for stage 2 or are in flight."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(
        int(target.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][name])
        for url in embed_queues(target.outputs).values()
        for name in names
    )


def drains(counts: Sequence[int], backlog: int) -> bool:
    """Whether the embed queues drain. SQS says how many messages wait, not which, so the counts must do.

    No more than before the switch is enough: some may be hidden for half an hour by a host that was killed. With more,
    as under steady traffic, the count must have been seen to fall, and by more than one: messages that are stuck are
    still, and the one may be the check's own, which is deleted a moment after its run is recorded.

    Args:
        counts: messages at every look since the check's own was consumed, oldest first; one at least.
        backlog: messages before the switch.
    """
    return counts[-1] <= backlog or counts[-1] < max(counts) - 1
