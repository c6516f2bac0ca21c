"""A stack in an AWS account: Pulumi's Automation API runs the CLI, the hosts' logs are in CloudWatch.

It implements ``ops.switching.stacks.SwitchableStack``. Its other half is ``local``, the stack on this machine.
"""

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ops.errors import OperatorError
from ops.logs.lines import hosts
from ops.logs.reading import log_events
from ops.pulumi_errors import OLDEST_CLI, Diagnostics, explaining
from ops.switching.pending import require_free
from ops.switching.stacks import FLAG, OnBegin, Say, resulting
from ops.target import PROJECT_DIRECTORY, StackOutputs, Target
from stack.choice import EmbedConsumer, Host
from stack.settings import NAMESPACE, Settings


def pulumi_stack(stack_name: str) -> Any:
    """The stack by Pulumi's Automation API, which runs the Pulumi CLI.

    Raises:
        OperatorError: STACK_UNKNOWN, or what is wrong with the CLI, its login or the stack's passphrase.
    """
    from pulumi import automation  # noqa: PLC0415 - it takes a third of a second, and only a call needs it

    with explaining(stack_name, "STACK_UNREADABLE", "mend what it names; `pulumi stack ls` lists the stacks"):
        options = automation.LocalWorkspaceOptions(pulumi_command=automation.PulumiCommand(version=OLDEST_CLI))
        return automation.select_stack(stack_name, work_dir=str(PROJECT_DIRECTORY), opts=options)


def pulumi_target(stack_name: str) -> Target:
    """A stack in an account, by its name in Pulumi.

    Raises:
        OperatorError: as ``pulumi_stack``; STACK_UNREADABLE.
    """
    stack = pulumi_stack(stack_name)
    with explaining(stack_name, "STACK_UNREADABLE", "mend what it names; `pulumi stack output` shows the same"):
        outputs = {name: output.value for name, output in stack.outputs().items()}
    return Target(
        outputs=StackOutputs(outputs, f"pulumi up --stack {stack_name}"),
        # The stack's region, whatever the shell's is; credentials are the shell's.
        client_options={"region_name": outputs["region"]} if "region" in outputs else {},
        cache_directory=PROJECT_DIRECTORY / ".receipts" / "search" / stack_name,
    )


class PulumiSwitchable:
    """A stack in an AWS account, to be switched.

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
        return resulting({key: item.value for key, item in configuration.items()}, consumer)

    def preview(self, consumer: EmbedConsumer, say: Say) -> None:
        """``pulumi preview`` of a copy of the stack's configuration: there is no flag to put back, whatever happens.

        Raises:
            OperatorError: PREVIEW_FAILED, with the engine's errors.
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
            OperatorError: UPDATE_OVERTAKEN, STACK_BUSY; UPDATE_FAILED, with the engine's errors.
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
        """The events of the host's log group, which must exist.

        Raises:
            OperatorError: LOGS_UNREADABLE.
        """
        target = self.target()
        name = target.outputs["embedFunctionName" if host == "lambda" else "serviceName"]
        group = hosts(target.outputs, "embed")[name]
        return [event["message"] for event in log_events(target.client("logs"), group, since)]


def _changes(event: Any) -> bool:
    """Whether an event of Pulumi's engine is the beginning of a change; what is only read or found equal is none."""
    begins = getattr(event, "resource_pre_event", None)
    return begins is not None and begins.metadata.op not in ("same", "read", "refresh")


def _value(consumer: EmbedConsumer) -> Any:
    from pulumi import automation  # noqa: PLC0415 - it takes a third of a second, and only a change needs it

    return automation.ConfigValue(consumer)
