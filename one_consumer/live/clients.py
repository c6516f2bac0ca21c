"""The one place that makes boto3 clients. The caller says how long a call may take."""

from typing import Any

CONNECT_SECONDS = 3
READ_SECONDS = 30
"""Between two bytes of an answer. A long poll of SQS is silent for 20 seconds."""
ATTEMPTS = 3
"""In all, with the SDK's own pauses of up to 1 and 2 seconds."""

AwsClient = Any
"""Its methods are generated at run time, so a checker can know none of them."""


def connect(service: str, *, session: Any = None, read_seconds: float = READ_SECONDS, **options: Any) -> AwsClient:
    """A boto3 client that gives up in time.

    Args:
        service: by boto3's name.
        session: a boto3 session; None for the process's own.
        read_seconds: the longest silence.
        **options: of boto3; a ``config`` goes on top of this one.
    """
    import boto3  # noqa: PLC0415 - nothing is built, or waited for, at import
    from botocore.config import Config  # noqa: PLC0415 - nothing is built at import

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    create: Any = (session or boto3).client
    return create(service, **options | {"config": config.merge(options.get("config") or Config())})
