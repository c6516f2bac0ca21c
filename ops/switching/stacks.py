"""A stack whose consumer can be switched: its flag, its update, its hosts' logs; on this machine or in an account."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import ClientError

from ops.local.engine import Step
from ops.local.stack import LocalStack
from ops.target import LOCAL_STACK_NAME, OperatorError, Target, local_target, pulumi_stack, pulumi_target
from stack.choice import EmbedConsumer, Host

Say = Callable[[str], object]


class SwitchableStack(Protocol):
    """What the procedure needs of a stack."""

    def target(self) -> Target:
        """The stack as it is now."""
        ...

    def preview(self, consumer: EmbedConsumer, say: Say) -> None:
        """Tell what an update would change, and change nothing."""
        ...

    def update(self, consumer: EmbedConsumer, say: Say) -> None:
        """Set the flag and update; raises whatever stops the update."""
        ...

    def logs(self, host: Host, since: datetime) -> list[str]:
        """A host's log lines since a moment."""
        ...


class LocalSwitchable:
    """The stack on this machine: the update is evaluated in this process, logs are files.

    Args:
        stack: it is up.
    """

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack

    def target(self) -> Target:
        """The stack as it is now."""
        return local_target(self._stack)

    def preview(self, consumer: EmbedConsumer, say: Say) -> None:
        """The plan is all there is: the local engine has no preview."""
        say(f"receipts:embedConsumer would become {consumer} in {self._stack.state_directory}")

    def update(self, consumer: EmbedConsumer, say: Say) -> None:
        """Update in this process."""

        def tell(step: Step) -> None:
            if step.operation != "same":
                say(f"{step.operation} {step.type} {step.name}  {step.summary}")

        self._stack.up({"embedConsumer": consumer}, on_step=tell)

    def logs(self, host: Host, since: datetime) -> list[str]:
        """The lines of the host's file; a line without a time belongs to the one before."""
        outputs = self._stack.outputs()
        name = outputs["embedFunctionName"] if host == "lambda" else outputs["serviceName"]
        path = Path(self._stack.status()["logs"]) / f"{name}.log"
        return list(_since(path.read_text(errors="replace").splitlines() if path.exists() else [], since))


def _since(lines: Iterable[str], since: datetime) -> Iterable[str]:
    recent = False
    for line in lines:
        try:
            moment = datetime.strptime(json.loads(line)["time"], "%Y-%m-%d %H:%M:%S,%f").astimezone(UTC)
            recent = moment >= since
        except (ValueError, KeyError, TypeError):
            pass
        if recent:
            yield line


class PulumiSwitchable:
    """A stack in an AWS account: Pulumi's Automation API runs the CLI, logs are in CloudWatch.

    Args:
        name: the Pulumi stack.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._pulumi: Any = pulumi_stack(name)

    def target(self) -> Target:
        """The stack as it is now."""
        return pulumi_target(self._name)

    def preview(self, consumer: EmbedConsumer, say: Say) -> None:
        """``pulumi preview`` with the flag flipped; the flag is put back."""
        before = self._pulumi.get_config("receipts:embedConsumer")
        self._set(consumer)
        try:
            self._pulumi.preview(on_output=say, color="never")
        finally:
            self._pulumi.set_config("receipts:embedConsumer", before)

    def update(self, consumer: EmbedConsumer, say: Say) -> None:
        """``pulumi config set`` and ``pulumi up``, never with a target.

        Raises:
            OperatorError: UPDATE_FAILED, with the end of Pulumi's own words.
        """
        from pulumi import automation  # noqa: PLC0415 - only stacks on AWS need it

        self._set(consumer)
        try:
            self._pulumi.up(on_output=say, color="never")
        except automation.CommandError as error:
            raise OperatorError(
                "UPDATE_FAILED", str(error)[-2_000:], "mend what it names and run receipts switch again, or roll back"
            ) from error

    def _set(self, consumer: EmbedConsumer) -> None:
        from pulumi import automation  # noqa: PLC0415 - only stacks on AWS need it

        self._pulumi.set_config("receipts:embedConsumer", automation.ConfigValue(consumer))

    def logs(self, host: Host, since: datetime) -> list[str]:
        """The events of the host's log group."""
        target = self.target()
        group = (
            f"/aws/lambda/{target.outputs['embedFunctionName']}"
            if host == "lambda"
            else f"/ecs/{target.outputs['serviceName']}"
        )
        lines = []
        pages = target.client("logs").get_paginator("filter_log_events")
        try:
            for page in pages.paginate(logGroupName=group, startTime=int(since.timestamp() * 1_000)):
                lines += [event["message"] for event in page["events"]]
        except ClientError as error:
            raise OperatorError(
                "LOGS_UNREADABLE",
                f"log group {group}: {error}",
                "the operator needs logs:FilterLogEvents on the stack's log groups",
            ) from error
        return lines


def switchable(name: str) -> SwitchableStack:
    """Find a stack by name, as ``connect`` does."""
    return LocalSwitchable(LocalStack()) if name == LOCAL_STACK_NAME else PulumiSwitchable(name)
