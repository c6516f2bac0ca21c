"""The six signs that the chosen consumer is at work and the other is not, looked for until they show or time is up."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from uuid import uuid4

from botocore.exceptions import ClientError

from ops.auditing import audit
from ops.switching.plan import loser, winner
from ops.switching.stacks import SwitchableStack
from ops.target import Target
from ops.uploading import UploadedDocument, upload
from pipeline.contracts.identifiers import COLLECTIONS, delta_key
from pipeline.runs import RunRepository
from stack.choice import EmbedConsumer

POLL_SECONDS = 0.5
CHECK_TITLES = (
    "a receipt is uploaded",
    "the queue drains",
    "the winner's logs show work",
    "the loser is idle, and nobody else is on",
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
    """One check; ``detail`` says what was seen last."""

    title: str
    look: Callable[[], tuple[bool, str]]
    state: CheckState = CheckState.WAITING
    detail: str = ""


@dataclass(kw_only=True)
class SwitchChecks:
    """The checks of one switch.

    Attributes:
        stack: already updated.
        wanted: who consumes now.
        since: when the update had ended; what the loser logs later is work it should not do.
        backlog: messages that waited before the switch.
    """

    stack: SwitchableStack
    wanted: EmbedConsumer
    since: datetime
    backlog: int
    _target: Target = field(init=False)
    _receipt: UploadedDocument | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._target = self.stack.target()

    def checks(self) -> list[Check]:
        """The six; without a winner only the one that nobody works."""
        looks = (
            self._uploaded,
            self._queue_drains,
            self._winner_logs,
            self._loser_is_idle,
            self._deltas,
            self._run,
        )
        checks = [Check(title, look) for title, look in zip(CHECK_TITLES, looks, strict=True)]
        return checks if winner(self.wanted) else [check for check in checks if check.look == self._loser_is_idle]

    def run(self, timeout_seconds: float, on_change: Callable[[list[Check]], object]) -> list[Check]:
        """Look at all of them again and again.

        Args:
            timeout_seconds: then what has not shown has failed.
            on_change: told after every look.
        """
        checks = self.checks()
        deadline = time.monotonic() + timeout_seconds
        while True:
            for check in checks:
                if check.state is CheckState.WAITING:
                    passed, check.detail = check.look()
                    check.state = CheckState.PASSED if passed else CheckState.WAITING
            on_change(checks)
            if all(check.state is CheckState.PASSED for check in checks):
                break
            if time.monotonic() >= deadline:
                for check in checks:
                    check.state = CheckState.FAILED if check.state is CheckState.WAITING else check.state
                on_change(checks)
                break
            time.sleep(POLL_SECONDS)
        return checks

    def _uploaded(self) -> tuple[bool, str]:
        if self._receipt is None:
            self._receipt = upload(self._target, "switch check", check_document(self.since))
        (run,) = self._receipt.runs
        return True, f"{self._receipt.key}, run {run.run_id}"

    def _queue_drains(self) -> tuple[bool, str]:
        seen = self._target.consumer_observer().observe(self._target.outputs["embedQueueUrl"])
        waiting = seen.visible + seen.in_flight
        return waiting == 0 or waiting < self.backlog, f"{waiting} messages, {self.backlog} before the switch"

    def _winner_logs(self) -> tuple[bool, str]:
        host = winner(self.wanted)
        assert host is not None  # noqa: S101 - without a winner this check is not made
        lines = self.stack.logs(host, self.since)
        return any(self._run_id in line for line in lines), f"{len(lines)} lines since the switch"

    def _loser_is_idle(self) -> tuple[bool, str]:
        wrong = [item for item in audit(self._target) if item.finding]
        if wrong:
            return False, "; ".join(f"{item.finding} on {item.expected.label}" for item in wrong)
        host = loser(self.wanted)
        lines = self.stack.logs(host, self.since) if host else []
        return not lines, f"{len(lines)} lines since the switch" + (f", the last: {lines[-1][:100]}" if lines else "")

    def _deltas(self) -> tuple[bool, str]:
        bucket = self._target.outputs["vectorsBucket"]
        missing = []
        for collection in COLLECTIONS:
            key = delta_key(collection, self._run_id)
            try:
                self._target.s3.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NotFound"):
                    raise
                missing.append(key)
        return not missing, f"missing: {', '.join(missing)}" if missing else f"s3://{bucket}/.../{self._run_id}/"

    def _run(self) -> tuple[bool, str]:
        assert self._receipt is not None  # noqa: S101 - the first check made it
        run = RunRepository(self._target.outputs["tableName"], self._target.dynamodb).find(self._receipt.runs[0])
        if run is None:
            return False, "not recorded yet"
        return run.consumer == winner(self.wanted), f"recorded by {run.consumer}, lines {run.lines.state}"

    @property
    def _run_id(self) -> str:
        assert self._receipt is not None  # noqa: S101 - the first check made it
        return self._receipt.runs[0].run_id


def check_document(moment: datetime) -> bytes:
    """An OCR result of one receipt that no shop ever printed: it says what it is and when it was made."""
    words = ["SWITCH", "CHECK", moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")]
    box = {"x": 0.1, "y": 0.1, "width": 0.8, "height": 0.05}
    row = {"confidence": 1.0, "bounding_box": box}
    line = {
        "line_id": 1,
        "text": " ".join(words),
        **row,
        "words": [{"word_id": number, "text": word, **row} for number, word in enumerate(words, 1)],
    }
    return json.dumps({"image_id": str(uuid4()), "receipts": [{"receipt_id": 1, "lines": [line]}]}).encode()
