"""What the infrastructure program refuses before it makes anything. Run-time errors are in ``pipeline/errors.py``."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class RefusalCode(StrEnum):
    """Stable names; a code is never reused for another meaning."""

    SETTING_UNKNOWN = "SETTING_UNKNOWN"
    SETTING_INVALID = "SETTING_INVALID"
    CHOICE_UNKNOWN = "CHOICE_UNKNOWN"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    IMAGE_NOT_BY_DIGEST = "IMAGE_NOT_BY_DIGEST"
    EMBEDDING_MISMATCH = "EMBEDDING_MISMATCH"
    CONSUMER_CONTRADICTION = "CONSUMER_CONTRADICTION"
    VISIBILITY_BELOW_TIMEOUT = "VISIBILITY_BELOW_TIMEOUT"
    DEAD_LETTER_UNREACHABLE = "DEAD_LETTER_UNREACHABLE"
    FARGATE_SIZE_IMPOSSIBLE = "FARGATE_SIZE_IMPOSSIBLE"
    ZONE_OUTSIDE_REGION = "ZONE_OUTSIDE_REGION"
    NETWORK_TOO_SMALL = "NETWORK_TOO_SMALL"
    ONE_CONSUMER = "ONE_CONSUMER"
    ENVIRONMENT_MISMATCH = "ENVIRONMENT_MISMATCH"
    NAME_TOO_LONG = "NAME_TOO_LONG"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One refusal: which, the value given, the rule it breaks, the way out."""

    code: RefusalCode
    value: str
    rule: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.code}: {self.value}. Rule: {self.rule}. Way out: {self.way_out}."


class StackRefusal(Exception):  # noqa: N818 - a refusal is not a bug
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


class SettingsRefused(Exception):  # noqa: N818 - a refusal is not a bug
    """The settings will not do; carries every refusal at once.

    Args:
        refusals: at least one.
    """

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("\n".join(str(refusal) for refusal in refusals))
