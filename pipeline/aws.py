"""What boto3 clients have in common: their type, and the clock of the service that answers them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pipeline.errors import ErrorCode, RetryableError

AwsClient = Any
"""Its methods are generated at run time, so a checker can know none of them."""


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
