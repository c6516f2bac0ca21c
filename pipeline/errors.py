"""What can go wrong at run time, as a small closed tree.

    PipelineError
    ├── PermanentError   the same input fails again: send it to the dead letter queue (or fail the run) with its reason
    └── RetryableError   the world may be better later: leave the message for its next delivery

Every error carries a stable code, the value that was met, the rule it broke and the way out. Refusals of the
infrastructure program are not here: see ``stack/errors.py``.
"""

from enum import StrEnum

SHOWN_CHARACTERS = 500
"""Of an error that is quoted in another one."""


class ErrorCode(StrEnum):
    """Stable names: alarms, documentation and tests refer to them; a code is never reused for another meaning."""

    ENVIRONMENT_INVALID = "ENVIRONMENT_INVALID"
    OCR_DOCUMENT_INVALID = "OCR_DOCUMENT_INVALID"
    PICTURE_UNREADABLE = "PICTURE_UNREADABLE"
    PICTURE_TOO_LARGE = "PICTURE_TOO_LARGE"
    PICTURE_WITHOUT_TEXT = "PICTURE_WITHOUT_TEXT"
    RECOGNITION_FAILED = "RECOGNITION_FAILED"
    MESSAGE_INVALID = "MESSAGE_INVALID"
    VERSION_UNSUPPORTED = "VERSION_UNSUPPORTED"
    OBJECT_MISSING = "OBJECT_MISSING"
    OBJECT_CHANGED = "OBJECT_CHANGED"
    OBJECT_UPLOAD_UNVERIFIED = "OBJECT_UPLOAD_UNVERIFIED"
    ARTIFACTS_MISMATCH = "ARTIFACTS_MISMATCH"
    DELTA_INVALID = "DELTA_INVALID"
    DELTA_INCOMPATIBLE = "DELTA_INCOMPATIBLE"
    EMBEDDING_REJECTED = "EMBEDDING_REJECTED"
    EMBEDDING_CREDENTIALS = "EMBEDDING_CREDENTIALS"
    EMBEDDING_UNAVAILABLE = "EMBEDDING_UNAVAILABLE"
    EMBEDDING_QUOTA = "EMBEDDING_QUOTA"
    EMBEDDING_ANSWER_INVALID = "EMBEDDING_ANSWER_INVALID"
    MERCHANT_RESOLUTION_FAILED = "MERCHANT_RESOLUTION_FAILED"
    RUN_CONFLICT = "RUN_CONFLICT"
    RUN_MISSING = "RUN_MISSING"
    SNAPSHOT_MISSING = "SNAPSHOT_MISSING"
    SNAPSHOT_CORRUPT = "SNAPSHOT_CORRUPT"
    LEASE_HELD = "LEASE_HELD"
    LEASE_LOST = "LEASE_LOST"
    MERGE_INCOMPLETE = "MERGE_INCOMPLETE"
    MERGE_BROKEN = "MERGE_BROKEN"
    MERGE_KILLED = "MERGE_KILLED"
    SNAPSHOT_UNSOUND = "SNAPSHOT_UNSOUND"
    SNAPSHOT_RECALL = "SNAPSHOT_RECALL"
    STORAGE_FULL = "STORAGE_FULL"
    SEND_FAILED = "SEND_FAILED"
    FENCED = "FENCED"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    REQUEST_INVALID = "REQUEST_INVALID"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class PipelineError(Exception):
    """An error with a stable code, the value met, the rule it broke and the way out.

    Args:
        code: which error this is; stable across releases.
        value: what was met, short enough for a log line and free of secrets.
        rule: the rule that the value broke.
        way_out: what the reader can do about it.
    """

    def __init__(self, code: ErrorCode, *, value: str, rule: str, way_out: str) -> None:
        self.code = code
        self.value = value
        self.rule = rule
        self.way_out = way_out
        super().__init__(f"{code}: {value}. Rule: {rule}. Way out: {way_out}.")


class PermanentError(PipelineError):
    """The same input will fail again. Its message is dead-lettered with the reason; its neighbours go on."""


class RetryableError(PipelineError):
    """The same input may succeed later. Its message stays on the queue until its receive count runs out."""


def in_the_tree(error: Exception) -> PipelineError:
    """An error as the hosts report it: unchanged if it is of this tree, else INTERNAL_ERROR with its type and text.

    For the boundaries alone, where one message's error must not end its neighbours' work. An error of no known kind is
    retryable: nothing says that the same input fails again, and a message that keeps failing reaches the dead letter
    queue by its receive count.
    """
    if isinstance(error, PipelineError):
        return error
    internal = RetryableError(
        ErrorCode.INTERNAL_ERROR,
        value=f"{type(error).__name__}: {error}"[:SHOWN_CHARACTERS],
        rule="every error that leaves a stage is of the pipeline's own kinds",
        way_out="the input is processed again; when it keeps failing, this is a fault of the program: the log has the "
        "traceback",
    )
    internal.__cause__ = error
    return internal
