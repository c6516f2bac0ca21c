"""The stack on this machine as an operator's commands see it: its outputs, its switch, its hosts' log files.

It implements ``ops.switching.stacks.SwitchableStack``. Its other half is ``account``, a stack on AWS. ``ops/local``
makes and runs the stack.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ops.errors import OperatorError
from ops.local.engines.steps import Step
from ops.local.paths import LOGS_DIRECTORY
from ops.local.stack import LocalStack
from ops.switching.stacks import FLAG, OnBegin, Say, resulting
from ops.target import StackOutputs, Target
from stack.choice import EmbedConsumer, Host
from stack.settings import Settings


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
        return self._stack.configuration().get(FLAG)

    def updates(self) -> int:
        """The number of the stack's last update."""
        return self._stack.updates()

    def require_free(self) -> None:
        """The update does it: it holds the state directory, and sets right what a killed one has left."""

    def settings(self, consumer: EmbedConsumer) -> Settings:
        """Those of ``Pulumi.local.yaml``, those that were given over them, and the consumer."""
        return resulting(self._stack.configuration(), consumer)

    def preview(self, consumer: EmbedConsumer, say: Say) -> None:
        """The plan is all there is: the local engine has no preview."""
        say(f"receipts:embedConsumer would become {consumer} in {self._stack.state_directory}")

    def update(self, consumer: EmbedConsumer, say: Say, *, after: int, on_begin: OnBegin) -> None:
        """Update in this process."""

        def tell(step: Step) -> None:
            if step.operation != "same":
                say(f"{step.operation} {step.line}")

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
