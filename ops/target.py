"""A deployed stack as the commands see it: its outputs and AWS clients, on one machine or in an account.

It finds no stack: ``ops.stacks.by_name`` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from one_consumer.live.observer import ConsumerObserver
from ops.errors import OperatorError
from pipeline.aws import AwsClient, connect

PROJECT_DIRECTORY = Path(__file__).resolve().parent.parent


class StackOutputs(dict[str, Any]):
    """What ``__main__.py`` exports. A missing output is something that the operator can mend, and no bug.

    Args:
        outputs: by name.
        way_out: which command completes the stack.
    """

    def __init__(self, outputs: Mapping[str, Any], way_out: str) -> None:
        super().__init__(outputs)
        self._way_out = way_out

    def __missing__(self, name: str) -> Any:
        raise OperatorError(
            "OUTPUT_MISSING",
            f"the stack has no output {name}: its last update was made by an older program"
            if self
            else "the stack has no outputs: no update of it has ended yet",
            self._way_out,
        )


@dataclass(frozen=True)
class Target:
    """One stack.

    Attributes:
        outputs: what ``__main__.py`` exports; of the last update that ended.
        client_options: passed to every boto3 client; the emulator's address on one machine, the stack's region
            on AWS.
        cache_directory: where snapshots are cached for searching.
        unfinished: the consumer that an update chose which has begun and not ended; None when there is none, and on
            AWS, where ``pulumi stack history`` shows it.
        log_directory: the stages' logs, where they are files; None where they are in CloudWatch.
    """

    outputs: Mapping[str, Any]
    client_options: Mapping[str, Any]
    cache_directory: Path
    unfinished: str | None = None
    log_directory: Path | None = None

    def client(self, service: str, **options: Any) -> AwsClient:
        """A client of this stack's account, with further options if given."""
        return connect(service, **{"session": self._session, **self.client_options, **options})

    @cached_property
    def _session(self) -> Any:
        """Makes the clients. boto3's sessions import what transfers large files, which no command uses."""
        from botocore.session import Session  # noqa: PLC0415 - a command that stops at a wrong call needs none

        return Session()

    def consumer_observer(self, *, scheduled: bool = False) -> ConsumerObserver:
        """Looks at the stack's consumers; ``scheduled`` as in ``ConsumerObserver``."""
        return ConsumerObserver(self.client, emulated="endpoint_url" in self.client_options, scheduled=scheduled)

    @cached_property
    def s3(self) -> AwsClient:
        """The S3 client."""
        return self.client("s3")

    @cached_property
    def sqs(self) -> AwsClient:
        """The SQS client."""
        return self.client("sqs")

    @cached_property
    def dynamodb(self) -> AwsClient:
        """The DynamoDB client."""
        return self.client("dynamodb")
