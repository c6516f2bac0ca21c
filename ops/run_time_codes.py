"""What each code of ``pipeline/errors.py`` means to a person; docs/operations.md is made from it.

A test checks that no code is missing. The error itself says more: the value that was met, the rule and the way out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import ErrorCode

Course = Literal["permanent", "retried", "recorded"]
"""What the program does: it gives the message or run up with its reason; it tries again by itself; it notes it and goes
on. A test compares this with how the code is raised."""


@dataclass(frozen=True)
class Advice:
    """One code.

    Attributes:
        meaning: what has happened.
        action: what an operator does.
    """

    course: Course
    meaning: str
    action: str


UPLOAD_AGAIN = "Upload the receipt's OCR result again."
NOTHING = "Nothing, unless it goes on: then an alarm rings."

RUN_TIME_CODES: Mapping[ErrorCode, Advice] = {
    ErrorCode.ENVIRONMENT_INVALID: Advice(
        "permanent",
        "A function or the worker was started with a variable missing or wrong, or in an image that lacks something.",
        "Deploy the stack again; do not change variables by hand.",
    ),
    ErrorCode.OCR_DOCUMENT_INVALID: Advice(
        "permanent",
        "An OCR result, or one receipt of it, breaks a rule of contracts.md.",
        "Correct the document as the reason says, and upload it again.",
    ),
    ErrorCode.PICTURE_UNREADABLE: Advice(
        "permanent",
        "A picture cannot be opened: it is damaged, or of a format that is not read.",
        "Upload it as PNG, JPEG or PDF.",
    ),
    ErrorCode.PICTURE_TOO_LARGE: Advice(
        "permanent",
        "A picture has more bytes, pixels or pages than are read.",
        "Make it smaller, or split it, and upload that.",
    ),
    ErrorCode.PICTURE_WITHOUT_TEXT: Advice(
        "permanent",
        "No line of a picture could be read.",
        "Look at it: blank, blurred, too dark, or no receipt.",
    ),
    ErrorCode.RECOGNITION_FAILED: Advice(
        "retried",
        "The process that reads a picture ended before its time, or took too long.",
        "When it goes on for one picture: save it smaller and as JPEG.",
    ),
    ErrorCode.MESSAGE_INVALID: Advice(
        "permanent",
        "A message or a table item is not of this pipeline's form, or names objects outside of the stack.",
        "Find out who wrote it. " + UPLOAD_AGAIN,
    ),
    ErrorCode.VERSION_UNSUPPORTED: Advice(
        "permanent",
        "Data of a newer release, which this release does not read.",
        "Deploy the newer release again, then retry the dead letters.",
    ),
    ErrorCode.OBJECT_MISSING: Advice(
        "permanent",
        "A message or run names an object that is not in S3 any more.",
        UPLOAD_AGAIN + " Look for a lifecycle rule that removes objects too soon.",
    ),
    ErrorCode.OBJECT_CHANGED: Advice(
        "permanent",
        "An object is not what its digest says: somebody wrote over it.",
        UPLOAD_AGAIN + " Find out who may write there.",
    ),
    ErrorCode.OBJECT_UPLOAD_UNVERIFIED: Advice(
        "retried",
        "S3 did not confirm what was written, or a published file cannot be read.",
        NOTHING,
    ),
    ErrorCode.ARTIFACTS_MISMATCH: Advice(
        "permanent",
        "The rows of a receipt do not agree with the message's counts or digests.",
        UPLOAD_AGAIN,
    ),
    ErrorCode.DELTA_INVALID: Advice(
        "permanent",
        "A delta cannot be read, or does not agree with its run.",
        "`receipts reconcile --repair` has the receipt embedded again, or uploads it again.",
    ),
    ErrorCode.DELTA_INCOMPATIBLE: Advice(
        "permanent",
        "A delta or a collection is of another model or size of vectors than the stack's settings.",
        "Set the model back, or build the collections again from new deltas.",
    ),
    ErrorCode.EMBEDDING_REJECTED: Advice(
        "permanent",
        "The embedding API refuses a text or a request, whenever it is sent.",
        "Read the reason: a model that does not exist, a text that is too long.",
    ),
    ErrorCode.EMBEDDING_CREDENTIALS: Advice(
        "retried",
        "The key is missing, wrong, or may not use the model.",
        'Put the right key into the secret (README, "Deploy for real"). Messages wait; redrive those that ran out of '
        "receives.",
    ),
    ErrorCode.EMBEDDING_UNAVAILABLE: Advice("retried", "The embedding API does not answer in time.", NOTHING),
    ErrorCode.EMBEDDING_QUOTA: Advice(
        "retried",
        "The account at the embedding API has no credit, or too low a limit.",
        "Add credit or raise the limit; `receipts switch none` keeps messages from running out of receives meanwhile.",
    ),
    ErrorCode.EMBEDDING_ANSWER_INVALID: Advice(
        "retried",
        "The embedding API answers with something else than vectors of the stack's model.",
        "Check `openaiBaseUrl`, `embeddingModel` and `embeddingDimensions`.",
    ),
    ErrorCode.MERCHANT_RESOLUTION_FAILED: Advice(
        "recorded",
        "The merchant could not be looked up; the receipt is embedded without one, and its run says why.",
        "`receipts resolve` once the cause is mended; or `receipts correct`.",
    ),
    ErrorCode.RUN_CONFLICT: Advice(
        "retried", "Others recorded or moved runs of the same receipt at the same time.", NOTHING
    ),
    ErrorCode.RUN_MISSING: Advice(
        "permanent", "A message names a run that the table does not have: somebody deleted it.", UPLOAD_AGAIN
    ),
    ErrorCode.SNAPSHOT_MISSING: Advice(
        "permanent",
        "A collection has no published version although it should.",
        "A new stack: set `bootstrapCollections`. Otherwise look who removed it from EFS and S3, before anything else.",
    ),
    ErrorCode.SNAPSHOT_CORRUPT: Advice(
        "permanent",
        "A published version, or what points at it, is damaged.",
        "`receipts rebuild --from-deltas`; collections.md says what it needs.",
    ),
    ErrorCode.LEASE_HELD: Advice(
        "retried", "Another merge of the same collection is at work; the message or the next tick comes back.", NOTHING
    ),
    ErrorCode.LEASE_LOST: Advice(
        "retried", "Another merge took the collection over; this one wrote nothing after that.", NOTHING
    ),
    ErrorCode.MERGE_INCOMPLETE: Advice(
        "retried", "What was merged is not what was read back; the working copy was discarded.", NOTHING
    ),
    ErrorCode.MERGE_BROKEN: Advice(
        "retried",
        "A merge failed for an unforeseen reason; its runs are tried in smaller portions, and quarantined at "
        "the fifth time.",
        "Read the traceback in the merge function's log, and report it.",
    ),
    ErrorCode.MERGE_KILLED: Advice(
        "retried",
        "The process of a merge ended while it wrote: out of time or memory, most likely.",
        "Raise `merge.memoryMb` or `merge.timeoutSeconds` when it goes on.",
    ),
    ErrorCode.SNAPSHOT_UNSOUND: Advice(
        "retried",
        "A version failed its check and was not published; readers keep the one before.",
        "When it goes on: the merge function's log, for the end of its memory; then `receipts rebuild --from-deltas`.",
    ),
    ErrorCode.SNAPSHOT_RECALL: Advice(
        "retried",
        "The index of a version misses too many of its own texts, and it was not published.",
        "`receipts rebuild --from-deltas`; look for many texts with equal vectors.",
    ),
    ErrorCode.STORAGE_FULL: Advice(
        "retried",
        "A disk is full: the function's `/tmp`, or the worker's.",
        "Raise `merge.ephemeralStorageMb`, or the memory of the worker's size.",
    ),
    ErrorCode.SEND_FAILED: Advice("retried", "SQS took some messages of a batch and refused others.", NOTHING),
    ErrorCode.FENCED: Advice(
        "permanent",
        "A function may receive from the worker's queue, so the worker ended.",
        "`receipts audit`, then disable that mapping, or switch to the function.",
    ),
    ErrorCode.SERVICE_UNAVAILABLE: Advice(
        "retried",
        "AWS did not answer, throttled the call, or refused it for want of a right.",
        "When it goes on: the role's rights and the service's status.",
    ),
    ErrorCode.REQUEST_INVALID: Advice(
        "permanent",
        "AWS says that a request can never succeed.",
        "Report it: it is a fault of the program, or a limit of AWS.",
    ),
    ErrorCode.INTERNAL_ERROR: Advice(
        "retried",
        "An error of no known kind.",
        "When it goes on: the log has the traceback; report it.",
    ),
}
