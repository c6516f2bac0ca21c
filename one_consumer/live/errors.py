"""What can go wrong while the guard looks at AWS or waits for it. What a program may not declare is in ``claim``."""

from enum import StrEnum


class WaitCode(StrEnum):
    """Stable names: documentation and tests refer to them; a code is never reused for another meaning."""

    HANDOVER_NOT_DRAINED = "HANDOVER_NOT_DRAINED"
    QUEUE_NOT_EMPTY = "QUEUE_NOT_EMPTY"


class WaitError(Exception):
    """A wait that has ended without what it waited for. The same update may succeed later.

    Args:
        code: which error this is.
        value: what was met.
        rule: the rule that the value broke.
        way_out: what the reader can do about it.
    """

    def __init__(self, code: WaitCode, *, value: str, rule: str, way_out: str) -> None:
        self.code = code
        self.value = value
        super().__init__(f"{code}: {value}. Rule: {rule}. Way out: {way_out}.")
