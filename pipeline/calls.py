"""What a failed call of an AWS service means for the message that it was made for. It makes no calls itself."""

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError

INVALID_REQUEST_CODES = frozenset(
    {
        # Amazon DynamoDB API reference, common errors: also an item over 400 kB and a key that is empty or too long.
        "ValidationException",
        # Amazon S3 API reference, error responses.
        "InvalidBucketName",
        "KeyTooLongError",
        "InvalidURI",
    }
)
INVALID_ITEM_CODE = "ValidationError"
"""Why a transaction was cancelled, of the item that is invalid (TransactWriteItems, CancellationReasons)."""

CONDITION_FAILED = "ConditionalCheckFailedException"
TRANSACTION_CANCELLED = "TransactionCanceledException"
THROTTLED_REASONS = frozenset({"ThrottlingError", "ProvisionedThroughputExceeded"})
"""Why a transaction was cancelled (Amazon DynamoDB API reference, TransactWriteItems, CancellationReasons)."""


def call_error(error: ClientError | BotoCoreError, called: str) -> PipelineError:
    """What a failed call means for the message that it was made for.

    Args:
        error: what the client raised.
        called: the service, table or object, for the reader.

    Returns:
        PermanentError REQUEST_INVALID when the request itself is impossible, so that it fails in every delivery;
        RetryableError SERVICE_UNAVAILABLE for every other refusal or fault, missing rights included.
    """
    if _is_invalid_request(error):
        return PermanentError(
            ErrorCode.REQUEST_INVALID,
            value=f"{called}: {error}",
            rule="names, keys and sizes are within the service's limits",
            way_out="correct what the message or the document says, and send it again",
        )
    return RetryableError(
        ErrorCode.SERVICE_UNAVAILABLE,
        value=f"{called}: {error}",
        rule="the service answers",
        way_out="the message is delivered again; when it keeps failing, check the role's rights and the resource",
    )


def condition_failed(error: ClientError, position: int) -> bool:
    """Whether a cancelled transaction's item at ``position`` failed by its condition, and not by a conflict."""
    reasons = error.response.get("CancellationReasons", [])
    return len(reasons) > position and reasons[position].get("Code") == "ConditionalCheckFailed"


def is_throttled(error: ClientError) -> bool:
    """Whether a transaction was cancelled because the table is throttled; the client does not try that again itself."""
    return any(reason.get("Code") in THROTTLED_REASONS for reason in error.response.get("CancellationReasons", []))


def _is_invalid_request(error: ClientError | BotoCoreError) -> bool:
    if not isinstance(error, ClientError):
        return isinstance(error, ParamValidationError)
    reasons = error.response.get("CancellationReasons", [])
    return error.response["Error"]["Code"] in INVALID_REQUEST_CODES or any(
        reason.get("Code") == INVALID_ITEM_CODE for reason in reasons
    )
