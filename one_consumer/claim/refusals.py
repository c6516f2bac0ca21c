"""What the claim refuses while the program runs, before Pulumi makes anything.

A refusal is a ``RunError``: Pulumi shows its text alone. Of any other exception it shows a traceback.
"""

from collections.abc import Mapping
from enum import StrEnum

from pulumi import RunError


class ClaimCode(StrEnum):
    """Stable names; a code is never reused for another meaning. What each means is in ``MEANINGS``."""

    ONE_CONSUMER = "ONE_CONSUMER"
    CLAIM_AFTER_LOCK = "CLAIM_AFTER_LOCK"
    LOCKED_TWICE = "LOCKED_TWICE"


MEANINGS: Mapping[ClaimCode, str] = {
    ClaimCode.ONE_CONSUMER: "A second consumer that is on claims a queue. On is: a mapping enabled or unset, a "
    "desired count or a scaling maximum above 0, a desired count that is ignored, a pipe that is not stopped.",
    ClaimCode.CLAIM_AFTER_LOCK: "A consumer that is on claims a queue whose lock was written without it.",
    ClaimCode.LOCKED_TWICE: "A second lock of one queue; SQS keeps one policy a queue, so the last one would win.",
}
"""One sentence a code; ``docs/refusals.md`` is made of it."""


class ClaimRefused(RunError):  # noqa: N818 - a refusal is not a bug
    """The program will not deploy this.

    Args:
        code: which refusal this is.
        value: what was given.
        rule: the rule it breaks.
        way_out: what to do.
    """

    def __init__(self, code: ClaimCode, *, value: str, rule: str, way_out: str) -> None:
        self.code, self.value, self.way_out = code, value, way_out
        super().__init__(f"{code}: {value}. Rule: {rule}. Way out: {way_out}.")
