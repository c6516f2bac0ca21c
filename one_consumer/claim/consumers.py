"""What can consume a queue, and when it is on: a function behind a mapping, a polling service, a pipe.

Descriptions alone: they make nothing. Another kind of consumer is one more class with the three members of
``Consumer``.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import pulumi


class Consumer(Protocol):
    """Whoever may claim a queue."""

    @property
    def claimant(self) -> str:
        """Its name in refusals."""
        ...

    @property
    def role_arn(self) -> pulumi.Input[str]:
        """The ARN of the role that it receives with: the one that the lock lets in."""
        ...

    @property
    def on(self) -> str | None:
        """Why it is on, for refusals; None when it cannot receive."""
        ...


@dataclass(frozen=True, kw_only=True)
class FunctionConsumer:
    """A function behind an event source mapping; on when ``enabled``.

    Attributes:
        claimant: its name in refusals.
        role_arn: the function's; Lambda receives with it.
        enabled: what the mapping is given. None is enabled, on AWS too.
    """

    claimant: str
    role_arn: pulumi.Input[str]
    enabled: bool | None = True

    @property
    def on(self) -> str | None:
        """Why it is on, or None; unset means enabled."""
        return None if self.enabled is False else f"mapping {'enabled' if self.enabled else 'enabled by default'}"


@dataclass(frozen=True, kw_only=True)
class ServiceConsumer:
    """A service that polls, of ECS or of another orchestrator; on when a task may run.

    Attributes:
        role_arn: the task's.
        desired_count: tasks at a deployment.
        minimum_capacity: of its scalable target.
        maximum_capacity: of its scalable target.
        ignores_desired_count: the service is made with ``ignore_changes`` of its desired count, so that a 0 here
            changes nothing there.
    """

    claimant: str
    role_arn: pulumi.Input[str]
    desired_count: int
    minimum_capacity: int = 0
    maximum_capacity: int = 0
    ignores_desired_count: bool = False

    @property
    def on(self) -> str | None:
        """Why it is on, or None; a count of 0 is not off while scaling may add tasks or the count is ignored."""
        if self.desired_count > 0:
            return f"desired count {self.desired_count}"
        if self.maximum_capacity > 0 or self.minimum_capacity > 0:
            most = max(self.maximum_capacity, self.minimum_capacity)
            return f"scaling up to {most} task{'' if most == 1 else 's'}, desired count 0 or not"
        return "a desired count of 0 that is ignored" if self.ignores_desired_count else None


@dataclass(frozen=True, kw_only=True)
class PipeConsumer:
    """An EventBridge pipe with the queue as its source; on unless it is stopped.

    Attributes:
        role_arn: the pipe's.
        desired_state: None is running, on AWS too.
    """

    claimant: str
    role_arn: pulumi.Input[str]
    desired_state: Literal["RUNNING", "STOPPED"] | None = None

    @property
    def on(self) -> str | None:
        """Why it is on, or None; unset means running."""
        return None if self.desired_state == "STOPPED" else f"pipe {self.desired_state or 'running by default'}"
