"""A stack whose consumer can be switched: its flag, its update, its hosts' logs; on this machine or in an account.

Longer than most modules: both kinds of stack stand side by side, so that neither forgets what the other does.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import yaml
from botocore.exceptions import ClientError

from ops.local.engines.steps import Step
from ops.local.stack import LocalStack
from ops.pulumi_errors import Diagnostics, explaining
from ops.switching.pending import require_free
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
OnBegin = Callable[[], object]
FLAG = f"{NAMESPACE}:embedConsumer"


class SwitchableStack(Protocol):
    """What the procedure needs of a stack.

    Attributes:
        on_fargate: whether the worker's tasks start there, which takes minutes.
    """

    on_fargate: bool

    def target(self) -> Target:
        """The stack as it is now."""
        ...

    def command(self, consumer: EmbedConsumer) -> str:
        """What an operator types to switch this stack."""
        ...

    def flag(self) -> str | None:
        """The consumer that the next update would choose; None when the configuration does not say."""
        ...

    def updates(self) -> int:
        """The number of the stack's last update, whoever made it; the next one that changes something counts one on."""
        ...

    def require_free(self) -> None:
        """Refuse when another update holds the stack, or when one that was killed left operations pending.

        Raises:
            OperatorError: STACK_BUSY, OPERATIONS_PENDING.
        """
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

    def update(self, consumer: EmbedConsumer, say: Say, *, after: int, on_begin: OnBegin) -> None:
        """Set the flag and update; raises whatever stops the update.

        Args:
            consumer: who consumes then.
            say: called with every line that the update tells.
            after: the stack's last update as the caller knows it; when another one came since, nothing is changed.
            on_begin: called once, right before the first change. When it is not called, nothing was changed and the
                flag is as it was.
        """
        ...

    def logs(self, host: Host, since: datetime) -> list[str]:
        """A host's log lines since a moment."""
        ...


class LocalSwitchable:
    """The stack on this machine: the update is evaluated in this process, logs are files.

    Args:
        stack: it is up.
    """

    on_fargate = False

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack

    def target(self) -> Target:
        """The stack as it is now."""
        return local_target(self._stack)

    def command(self, consumer: EmbedConsumer) -> str:
        """What an operator types to switch this stack."""
        return f"receipts switch {consumer}"

    def flag(self) -> str | None:
        """That of ``Pulumi.local.yaml``, or the one that was given over it."""
        return self._stack._config(self._stack.settings()).get(FLAG)

    def updates(self) -> int:
        """The number of the stack's last update."""
        return self._stack.updates()

    def require_free(self) -> None:
        """The update does it: it holds the state directory, and sets right what a killed one has left."""

    def settings(self, consumer: EmbedConsumer) -> Settings:
        """Those of ``Pulumi.local.yaml``, those that were given over them, and the consumer."""
        return _resulting(self._stack._config(self._stack.settings()), consumer)

    def preview(self, consumer: EmbedConsumer, say: Say) -> None:
        """The plan is all there is: the local engine has no preview."""
        say(f"receipts:embedConsumer would become {consumer} in {self._stack.state_directory}")

    def update(self, consumer: EmbedConsumer, say: Say, *, after: int, on_begin: OnBegin) -> None:
        """Update in this process."""

        def tell(step: Step) -> None:
            if step.operation != "same":
                say(f"{step.operation} {step.type} {step.name}  {step.summary}")

        self._stack.up({"embedConsumer": consumer}, on_step=tell, on_begin=on_begin, after=after)

    def logs(self, host: Host, since: datetime) -> list[str]:
        """The lines of the host's file; a line without a time belongs to the one before."""
        outputs = self.target().outputs
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

    on_fargate = True

    def __init__(self, name: str) -> None:
        self._name = name
        self._pulumi: Any = pulumi_stack(name)

    def target(self) -> Target:
        """The stack as it is now.

        Raises:
            OperatorError: STACK_UNREADABLE, or what is wrong with the CLI.
        """
        return pulumi_target(self._name)

    def command(self, consumer: EmbedConsumer) -> str:
        """What an operator types to switch this stack."""
        return f"receipts switch {consumer} --stack {self._name}"

    def flag(self) -> str | None:
        """That of the stack's configuration.

        Raises:
            OperatorError: CONFIGURATION_UNREADABLE.
        """
        with explaining(self._name, "CONFIGURATION_UNREADABLE", "check `pulumi config`"):
            kept = self._pulumi.get_all_config().get(FLAG)
        return None if kept is None else kept.value

    def updates(self) -> int:
        """The version of the newest entry of ``pulumi stack history``; previews are not in it.

        Raises:
            OperatorError: STACK_UNREADABLE.
        """
        with explaining(self._name, "STACK_UNREADABLE", "check `pulumi stack history`"):
            return max((entry.version for entry in self._pulumi.history(page_size=1, page=1)), default=0)

    def require_free(self) -> None:
        """Look for a lock and for pending operations.

        Raises:
            OperatorError: STACK_BUSY, OPERATIONS_PENDING, STACK_UNREADABLE.
        """
        with explaining(self._name, "STACK_UNREADABLE", "check `pulumi stack export`"):
            require_free(self._pulumi, self._name, NAMESPACE)

    def settings(self, consumer: EmbedConsumer) -> Settings:
        """Those of the stack's configuration, and the consumer.

        Raises:
            OperatorError: CONFIGURATION_UNREADABLE.
        """
        with explaining(self._name, "CONFIGURATION_UNREADABLE", "check `pulumi config`"):
            configuration = self._pulumi.get_all_config()
        return _resulting({key: item.value for key, item in configuration.items()}, consumer)

    def preview(self, consumer: EmbedConsumer, say: Say) -> None:
        """``pulumi preview`` of a copy of the stack's configuration: there is no flag to put back, whatever happens.

        Raises:
            OperatorError: PREVIEW_FAILED, with the errors that the engine told.
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
            errors = Diagnostics()
            with explaining(self._name, "PREVIEW_FAILED", "mend what it names; nothing was changed", errors.cause):
                self._pulumi.preview(on_output=say, on_event=errors.note, color="never", config_file=str(copy))

    def update(self, consumer: EmbedConsumer, say: Say, *, after: int, on_begin: OnBegin) -> None:
        """``pulumi config set`` and ``pulumi up``, never with a target. The flag is put back when nothing has changed.

        Raises:
            OperatorError: UPDATE_OVERTAKEN, STACK_BUSY; UPDATE_FAILED, with the errors that the engine told.
        """
        begun, errors = False, Diagnostics()

        def tell(event: Any) -> None:
            nonlocal begun
            errors.note(event)
            if not begun and _changes(event):
                begun = True
                on_begin()

        if self.updates() != after:
            raise OperatorError(
                "UPDATE_OVERTAKEN",
                "somebody else has updated the stack since it was looked at; nothing was changed",
                "receipts audit shows what the stack is now; then decide again",
            )
        way_out = "mend what it names and run receipts switch again, or roll back"
        with explaining(self._name, "UPDATE_FAILED", way_out, errors.cause):
            kept = self._pulumi.get_all_config().get(FLAG)
            try:
                self._pulumi.set_config(FLAG, _value(consumer))
                self._pulumi.up(on_output=say, on_event=tell, color="never")
            except BaseException:
                if not begun:
                    self._put_back(kept)
                raise

    def _put_back(self, kept: Any) -> None:
        """The flag as it was; None when there was none."""
        if kept is None:
            self._pulumi.remove_config(FLAG)
        else:
            self._pulumi.set_config(FLAG, kept)

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


def _changes(event: Any) -> bool:
    """Whether an event of Pulumi's engine is the beginning of a change; what is only read or found equal is none."""
    begins = getattr(event, "resource_pre_event", None)
    return begins is not None and begins.metadata.op not in ("same", "read", "refresh")


def _resulting(configuration: Mapping[str, Any], consumer: EmbedConsumer) -> Settings:
    """The settings of a configuration with another consumer, checked; pure."""
    prefix = f"{NAMESPACE}:"
    chosen = {**configuration, FLAG: consumer}
    return load({key.removeprefix(prefix): value for key, value in chosen.items() if key.startswith(prefix)})


def _value(consumer: EmbedConsumer) -> Any:
    from pulumi import automation  # noqa: PLC0415 - only stacks on AWS need it

    return automation.ConfigValue(consumer)


def switchable(name: str) -> SwitchableStack:
    """Find a stack by name, as ``connect`` does."""
    return LocalSwitchable(LocalStack()) if name == LOCAL_STACK_NAME else PulumiSwitchable(name)
