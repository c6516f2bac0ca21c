"""A deployed stack as the command line sees it: its outputs and AWS clients, on one machine or in an account."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from one_consumer.live.observer import ConsumerObserver
from ops import LOCAL_STACK_NAME
from ops.errors import OperatorError
from ops.local.paths import LOGS_DIRECTORY
from ops.local.provisioners.context import make_client
from ops.local.stack import LocalStack
from pipeline.aws import AwsClient

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
            AWS, where ``pulumi stack history`` tells.
        log_directory: the stages' logs, where they are files; None where they are in CloudWatch.
    """

    outputs: Mapping[str, Any]
    client_options: Mapping[str, Any]
    cache_directory: Path
    unfinished: str | None = None
    log_directory: Path | None = None

    def client(self, service: str, **options: Any) -> AwsClient:
        """A client of this stack's account, with further options if given."""
        return make_client(service, {"session": self._session, **self.client_options, **options})

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


def connect(stack_name: str) -> Target:
    """Find a stack by name: ``local`` is the one on this machine, any other is asked of Pulumi.

    Raises:
        OperatorError: STACK_NOT_RUNNING; for another stack as ``pulumi_target``.
    """
    if stack_name == LOCAL_STACK_NAME:
        return local_target(LocalStack())
    return pulumi_target(stack_name)


def local_target(stack: LocalStack) -> Target:
    """The stack on this machine, which must be up."""
    if not stack.is_running():
        raise OperatorError("STACK_NOT_RUNNING", "the local stack is not up", "receipts local up")
    return Target(
        outputs=StackOutputs(stack.outputs(), "receipts local up"),
        client_options=stack.client_options(),
        cache_directory=stack.state_directory / "search",
        unfinished=stack.unfinished(),
        log_directory=stack.state_directory / LOGS_DIRECTORY,
    )


def pulumi_stack(stack_name: str) -> Any:
    """The stack by Pulumi's Automation API, which runs the Pulumi CLI.

    Raises:
        OperatorError: STACK_UNKNOWN, or what is wrong with the CLI, its login or the stack's passphrase.
    """
    from pulumi import automation  # noqa: PLC0415 - takes a third of a second, and only stacks on AWS need it

    from ops.pulumi_errors import OLDEST_CLI, explaining  # noqa: PLC0415 - the same

    with explaining(stack_name, "STACK_UNREADABLE", "mend what it names; `pulumi stack ls` lists the stacks"):
        options = automation.LocalWorkspaceOptions(pulumi_command=automation.PulumiCommand(version=OLDEST_CLI))
        return automation.select_stack(stack_name, work_dir=str(PROJECT_DIRECTORY), opts=options)


def pulumi_target(stack_name: str) -> Target:
    """A stack in an account, by its name in Pulumi.

    Raises:
        OperatorError: as ``pulumi_stack``; STACK_UNREADABLE.
    """
    from ops.pulumi_errors import explaining  # noqa: PLC0415 - it imports Pulumi

    stack = pulumi_stack(stack_name)
    with explaining(stack_name, "STACK_UNREADABLE", "mend what it names; `pulumi stack output` shows the same"):
        outputs = {name: output.value for name, output in stack.outputs().items()}
    return Target(
        outputs=StackOutputs(outputs, f"pulumi up --stack {stack_name}"),
        # The stack's region, whatever the shell's is; credentials are the shell's.
        client_options={"region_name": outputs["region"]} if "region" in outputs else {},
        cache_directory=PROJECT_DIRECTORY / ".receipts" / "search" / stack_name,
    )
