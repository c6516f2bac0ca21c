"""What the infrastructure program refuses before it makes anything. Run-time errors are in ``pipeline/errors.py``.

A refusal is a ``RunError``: Pulumi shows its text alone. Of any other exception it shows a traceback.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pulumi import RunError


class RefusalCode(StrEnum):
    """Stable names; a code is never reused for another meaning. What each means is in ``MEANINGS``."""

    SETTING_UNKNOWN = "SETTING_UNKNOWN"
    SETTING_INVALID = "SETTING_INVALID"
    CHOICE_UNKNOWN = "CHOICE_UNKNOWN"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    IMAGE_NOT_BY_DIGEST = "IMAGE_NOT_BY_DIGEST"
    EMBEDDING_MISMATCH = "EMBEDDING_MISMATCH"
    CONSUMER_CONTRADICTION = "CONSUMER_CONTRADICTION"
    FIFO_BATCHING_WINDOW = "FIFO_BATCHING_WINDOW"
    BATCH_SIZE = "BATCH_SIZE"
    MAXIMUM_CONCURRENCY = "MAXIMUM_CONCURRENCY"
    CONCURRENCY_AND_POLLERS = "CONCURRENCY_AND_POLLERS"
    VISIBILITY_BELOW_TIMEOUT = "VISIBILITY_BELOW_TIMEOUT"
    VISIBILITY_BELOW_STOP = "VISIBILITY_BELOW_STOP"
    STOP_BEYOND_JOB = "STOP_BEYOND_JOB"
    DEAD_LETTER_KIND = "DEAD_LETTER_KIND"
    DEAD_LETTER_UNREACHABLE = "DEAD_LETTER_UNREACHABLE"
    STREAM_DESTINATION_KIND = "STREAM_DESTINATION_KIND"
    HANDOVER_TOO_SHORT = "HANDOVER_TOO_SHORT"
    FARGATE_SIZE_IMPOSSIBLE = "FARGATE_SIZE_IMPOSSIBLE"
    ZONE_OUTSIDE_REGION = "ZONE_OUTSIDE_REGION"
    REGION_UNSET = "REGION_UNSET"
    PARTITION_UNSUPPORTED = "PARTITION_UNSUPPORTED"
    EMBEDDER_LOCAL_ONLY = "EMBEDDER_LOCAL_ONLY"
    NETWORK_TOO_SMALL = "NETWORK_TOO_SMALL"
    ENVIRONMENT_MISMATCH = "ENVIRONMENT_MISMATCH"
    NAME_INVALID = "NAME_INVALID"
    NAME_TOO_LONG = "NAME_TOO_LONG"
    TARGETED_SWITCH = "TARGETED_SWITCH"


MEANINGS: Mapping[RefusalCode, str] = {
    RefusalCode.SETTING_UNKNOWN: "A setting that does not exist. Pulumi itself would ignore it without a message.",
    RefusalCode.SETTING_INVALID: "A setting of the wrong type or form.",
    RefusalCode.CHOICE_UNKNOWN: "A setting that is a choice, with a value that is none of the choices.",
    RefusalCode.OUT_OF_RANGE: "A number outside its range; the range is AWS's wherever AWS has one.",
    RefusalCode.IMAGE_NOT_BY_DIGEST: "An image named by tag; a tag can move under a running stack.",
    RefusalCode.EMBEDDING_MISMATCH: "Embedder, model and dimensions that do not go together.",
    RefusalCode.CONSUMER_CONTRADICTION: "Settings that ask for another consumer than `embedConsumer` chooses.",
    RefusalCode.FIFO_BATCHING_WINDOW: "★ A batching window on a FIFO queue's mapping.",
    RefusalCode.BATCH_SIZE: "★ A batch that the kind of queue does not allow: FIFO 1 to 10; standard to 10,000, above "
    "10 only with a window.",
    RefusalCode.MAXIMUM_CONCURRENCY: "★ A mapping's maximum concurrency outside 2 to 1,000; it can never be 1.",
    RefusalCode.CONCURRENCY_AND_POLLERS: "★ Maximum concurrency and provisioned pollers on one mapping.",
    RefusalCode.VISIBILITY_BELOW_TIMEOUT: "★ A queue that hides a message for less time than its function may run.",
    RefusalCode.VISIBILITY_BELOW_STOP: "A queue that hides a message for less time than a task that is stopped may "
    "work on it.",
    RefusalCode.STOP_BEYOND_JOB: "A stop timeout that is longer than the longest work.",
    RefusalCode.DEAD_LETTER_KIND: "★ A FIFO queue with a standard dead letter queue, or the reverse.",
    RefusalCode.DEAD_LETTER_UNREACHABLE: "Messages that would expire before their receives are used up.",
    RefusalCode.STREAM_DESTINATION_KIND: "★ A FIFO queue as the destination of a stream's failures.",
    RefusalCode.HANDOVER_TOO_SHORT: "A handover that gives up before what it waits for must have happened.",
    RefusalCode.FARGATE_SIZE_IMPOSSIBLE: "★ A pair of CPU and memory that Fargate does not sell.",
    RefusalCode.ZONE_OUTSIDE_REGION: "Zones that are malformed, repeated or not of the stack's region.",
    RefusalCode.REGION_UNSET: "A stack without `aws:region`: the region would be that of somebody's shell.",
    RefusalCode.PARTITION_UNSUPPORTED: "A region of another partition than `aws`, for example of China.",
    RefusalCode.EMBEDDER_LOCAL_ONLY: "An embedder that only runs on one machine: `minilm` on AWS.",
    RefusalCode.NETWORK_TOO_SMALL: "★ A network that cannot be divided among its zones, or has no addresses for all "
    "tasks.",
    RefusalCode.ENVIRONMENT_MISMATCH: "A component and an entry point that disagree about the environment.",
    RefusalCode.NAME_INVALID: "★ A project or stack name that S3, SQS or ECR refuses: lower-case letters, digits and "
    "hyphens between them.",
    RefusalCode.NAME_TOO_LONG: "A physical name above AWS's limit; it is never cut, two cut names can meet.",
    RefusalCode.TARGETED_SWITCH: "An update of some resources only (`--target`) while the consumer is to change: it "
    "would stop half way, without a consumer.",
}
"""One sentence a code; ``docs/refusals.md`` is made of it. ★: AWS refuses it too, but half way through an update."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One refusal: which, the value given, the rule it breaks, the way out."""

    code: RefusalCode
    value: str
    rule: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.code}: {self.value}. Rule: {self.rule}. Way out: {self.way_out}."


class StackRefusal(RunError):  # noqa: N818 - a refusal is not a bug
    """The program will not deploy this.

    Args:
        code: which refusal this is.
        value: what was given.
        rule: the rule it breaks.
        way_out: what to do.
    """

    def __init__(self, code: RefusalCode, *, value: str, rule: str, way_out: str) -> None:
        self.refusal = Refusal(code=code, value=value, rule=rule, way_out=way_out)
        self.code = code
        super().__init__(str(self.refusal))


class SettingsRefused(RunError):  # noqa: N818 - a refusal is not a bug
    """The settings will not do; carries every refusal at once.

    Args:
        refusals: at least one.
    """

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("\n".join(str(refusal) for refusal in refusals))
