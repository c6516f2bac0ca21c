"""The one place that makes boto3 clients, with their patience; and the clock of the service that answers them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pipeline.errors import ErrorCode, RetryableError

CONNECT_SECONDS = 3
READ_SECONDS = {"dynamodb": 5, "sqs": 30}
"""Between two bytes of an answer. A long poll of SQS is silent for 20 seconds."""
OTHER_READ_SECONDS = 15
ATTEMPTS = 3
"""In all, with the SDK's own pauses of up to 1 and 2 seconds. A call to DynamoDB ends within 27 seconds, which is less
than a lease lasts (``leaseSeconds``, 30 or more); one to S3 or SQS within two minutes, which is what a stopping task
has (``stopTimeout``)."""

AwsClient = Any
"""Its methods are generated at run time, so a checker can know none of them."""


def connect(service: str, *, session: Any = None, **options: Any) -> AwsClient:
    """A boto3 client that gives up in time.

    Args:
        service: by boto3's name.
        session: a boto3 session; None for the process's own.
        **options: of boto3; a ``config`` goes on top of this one.
    """
    import boto3  # noqa: PLC0415 - nothing is built, or waited for, at import
    from botocore.config import Config  # noqa: PLC0415 - the same

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS.get(service, OTHER_READ_SECONDS),
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    create: Any = (session or boto3).client
    return create(service, **options | {"config": config.merge(options.get("config") or Config())})


def moment_of(answer: Mapping[str, Any]) -> datetime:
    """When a service answered, by its own clock, in whole seconds: the ``Date`` header (RFC 9110, section 6.6.1).

    Args:
        answer: what a call of a boto3 client returned.

    Raises:
        RetryableError: SERVICE_UNAVAILABLE when the answer does not say.
    """
    header = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(header).astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise RetryableError(
            ErrorCode.SERVICE_UNAVAILABLE,
            value=f"the service's answer is dated {header!r}",
            rule="what a person does is ordered by the clock of AWS, and never by that of the person's machine",
            way_out="try again; look at a proxy that removes the header",
        ) from error
