"""What a switch needs of a stack: its flag, its update, its hosts' logs. Implementations: ``ops/stacks``."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from ops.target import Target
from stack.choice import EmbedConsumer, Host
from stack.loading import load
from stack.settings import NAMESPACE, Settings

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
        """The number of the stack's last update, by any command; the next one that changes something adds 1."""
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
        """Show what an update would change. Nothing is changed, not even the flag. Raises what stops the preview."""
        ...

    def update(self, consumer: EmbedConsumer, say: Say, *, after: int, on_begin: OnBegin) -> None:
        """Set the flag and update; raises whatever stops the update.

        Args:
            consumer: who consumes then.
            say: called with every line of the update's output.
            after: the stack's last update as the caller knows it; when another one came since, nothing is changed.
            on_begin: called once, right before the first change. When it is not called, nothing was changed and the
                flag is as it was.
        """
        ...

    def logs(self, host: Host, since: datetime) -> list[str]:
        """A host's log lines since a moment."""
        ...


def resulting(configuration: Mapping[str, Any], consumer: EmbedConsumer) -> Settings:
    """The settings of a configuration with another consumer, checked; pure.

    Args:
        configuration: key with namespace to value, as ``pulumi config`` has them.
        consumer: the consumer that the settings would choose.

    Raises:
        SettingsRefused: the program would refuse them.
    """
    prefix = f"{NAMESPACE}:"
    chosen = {**configuration, FLAG: consumer}
    return load({key.removeprefix(prefix): value for key, value in chosen.items() if key.startswith(prefix)})
