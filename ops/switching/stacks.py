"""A stack whose consumer can be switched: its flag, its update, its hosts' logs; on this machine or in an account."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import yaml
from botocore.exceptions import ClientError

from ops.local.engine import Step
from ops.local.stack import LocalStack
from ops.target import (
    LOCAL_STACK_NAME,
    PROJECT_DIRECTORY,
    OperatorError,
    Target,
    local_target,
    pulumi_stack,
    pulumi_target,
)
from stack.choice import EmbedConsumer, Host
from stack.settings import NAMESPACE, Settings, load

Say = Callable[[str], object]
FLAG = f"{NAMESPACE}:embedConsumer"
ERROR_LENGTH = 2_000
"""Characters of Pulumi's words that are passed on; what went wrong is at their end."""


class SwitchableStack(Protocol):
    """What the procedure needs of a stack."""

    def target(self) -> Target:
        """The stack as it is now."""
        ...

    def settings(self, consumer: EmbedConsumer) -> Settings:
        """The settings that the stack would have with this consumer; nothing is changed.

        Raises:
            SettingsRefused: the program would refuse them.
        """
        ...

    def preview(self, consumer: EmbedConsumer, say: Say) -> None:
        """Tell what an update would change, and change nothing, the flag included; raises what stops the preview."""
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

    def settings(self, consumer: EmbedConsumer) -> Settings:
        """Those of ``Pulumi.local.yaml``, those that were given over them, and the consumer."""
        return _resulting(self._stack._config(self._stack.settings()), consumer)

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
        """The stack as it is now.

        Raises:
            OperatorError: STACK_UNREADABLE.
        """
        with _in_a_line("STACK_UNREADABLE", "check `pulumi stack output`"):
            return pulumi_target(self._name)

    def settings(self, consumer: EmbedConsumer) -> Settings:
        """Those of the stack's configuration, and the consumer.

        Raises:
            OperatorError: CONFIGURATION_UNREADABLE.
        """
        with _in_a_line("CONFIGURATION_UNREADABLE", "check `pulumi config`"):
            configuration = self._pulumi.get_all_config()
        return _resulting({key: item.value for key, item in configuration.items()}, consumer)

    def preview(self, consumer: EmbedConsumer, say: Say) -> None:
        """``pulumi preview`` of a copy of the stack's configuration: there is no flag to put back, whatever happens.

        Raises:
            OperatorError: PREVIEW_FAILED, with the end of Pulumi's own words.
        """
        kept = PROJECT_DIRECTORY / f"Pulumi.{self._name.rsplit('/', 1)[-1]}.yaml"
        if not kept.exists():
            raise OperatorError(
                "PREVIEW_FAILED",
                f"{kept} does not exist, and a preview is made of a copy of it",
                f"write the present choice into it with `pulumi config set {FLAG}`, then ask again",
            )
        content = yaml.safe_load(kept.read_text()) or {}
        content["config"] = {**(content.get("config") or {}), FLAG: consumer}
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / kept.name
            copy.write_text(yaml.safe_dump(content))
            with _in_a_line("PREVIEW_FAILED", "mend what it names; nothing was changed"):
                self._pulumi.preview(on_output=say, color="never", config_file=str(copy))

    def update(self, consumer: EmbedConsumer, say: Say) -> None:
        """``pulumi config set`` and ``pulumi up``, never with a target.

        Raises:
            OperatorError: UPDATE_FAILED, with the end of Pulumi's own words.
        """
        from pulumi import automation  # noqa: PLC0415 - only stacks on AWS need it

        with _in_a_line("UPDATE_FAILED", "mend what it names and run receipts switch again, or roll back"):
            self._pulumi.set_config(FLAG, automation.ConfigValue(consumer))
            self._pulumi.up(on_output=say, color="never")

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


def _resulting(configuration: Mapping[str, Any], consumer: EmbedConsumer) -> Settings:
    """The settings of a configuration with another consumer, checked; pure."""
    prefix = f"{NAMESPACE}:"
    chosen = {**configuration, FLAG: consumer}
    return load({key.removeprefix(prefix): value for key, value in chosen.items() if key.startswith(prefix)})


@contextmanager
def _in_a_line(code: str, way_out: str) -> Iterator[None]:
    """Turn a failing Pulumi CLI into an error of the operator."""
    from pulumi import automation  # noqa: PLC0415 - only stacks on AWS need it

    try:
        yield
    except automation.CommandError as error:
        raise OperatorError(code, str(error).strip()[-ERROR_LENGTH:], way_out) from error


def switchable(name: str) -> SwitchableStack:
    """Find a stack by name, as ``connect`` does."""
    return LocalSwitchable(LocalStack()) if name == LOCAL_STACK_NAME else PulumiSwitchable(name)
