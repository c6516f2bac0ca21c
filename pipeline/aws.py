"""How long the pipeline waits for each of AWS's services; and the clock of the service that answers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from one_consumer.live import clients
from one_consumer.live.clients import AwsClient
from pipeline.errors import ErrorCode, RetryableError

__all__ = ["OTHER_READ_SECONDS", "READ_SECONDS", "AwsClient", "connect", "moment_of"]

READ_SECONDS = {"dynamodb": 5, "sqs": 30}
"""Between two bytes of an answer. A long poll of SQS is silent for 20 seconds. With the attempts and pauses of
``one_consumer.live.clients`` a call to DynamoDB ends within 27 seconds, which is less than a lease lasts
(``leaseSeconds``, 30 or more); one to S3 or SQS within two minutes, which is what a stopping task has
(``stopTimeout``)."""
OTHER_READ_SECONDS = 15


def connect(service: str, *, session: Any = None, **options: Any) -> AwsClient:
    """A boto3 client that gives up in time, as ``one_consumer.live.clients.connect``.

    Args:
        service: by boto3's name.
        session: a boto3 or a botocore session; None for boto3's own of the process.
        **options: of boto3; a ``config`` goes on top of this one.
    """
    return clients.connect(
        service, session=session, read_seconds=READ_SECONDS.get(service, OTHER_READ_SECONDS), **options
    )


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
