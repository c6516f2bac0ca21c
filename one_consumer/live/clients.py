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
        session: a boto3 or a botocore session; None for boto3's own of the process.
        read_seconds: the longest silence.
        **options: of boto3; a ``config`` goes on top of this one.
    """
    from botocore.config import Config  # noqa: PLC0415 - nothing is built, or waited for, at import

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return _maker(session)(service, **options | {"config": config.merge(options.get("config") or Config())})


def _maker(session: Any) -> Any:
    """Makes a session's clients. They are the same, but boto3's have transfer methods that nobody uses here."""
    if session is None:
        import boto3  # noqa: PLC0415 - a botocore session does without it

        return boto3.client
    return getattr(session, "create_client", None) or session.client
