"""What can consume a queue, and when it is on: a function behind a mapping, a polling service, a pipe.

Descriptions alone: what they may be is in ``stack/rules.py``, and that only one of them is on in ``stack/queues.py``.
"""

from dataclasses import dataclass
from typing import Literal

from stack import aws


@dataclass(frozen=True, kw_only=True)
class FunctionConsumer:
    """A function behind a mapping; on when ``enabled``.

    Attributes:
        claimant: its name in refusals and resources.
        role: the function's; Lambda receives with it.
        function_timeout_seconds: the longest run.
        maximum_concurrency: functions at once; None leaves it to AWS.
        batching_window_seconds: the wait for a full batch; 0 is none.
        provisioned_pollers: the most pollers of provisioned mode; None is Lambda's own polling.
        enabled: None is enabled, on AWS too.
    """

    claimant: str
    function: aws.lambda_.Function
    role: aws.iam.Role
    function_timeout_seconds: int
    batch_size: int
    maximum_concurrency: int | None
    batching_window_seconds: int = 0
    provisioned_pollers: int | None = None
    enabled: bool | None = True

    @property
    def on(self) -> str | None:
        """Why it is on, or None; unset means enabled."""
        return None if self.enabled is False else f"mapping {'enabled' if self.enabled else 'enabled by default'}"


@dataclass(frozen=True, kw_only=True)
class ServiceConsumer:
    """A polling service; on when a task may run.

    Attributes:
        role: the task's.
        desired_count: tasks at a deployment.
        minimum_capacity: of its scalable target.
        maximum_capacity: of its scalable target.
        ignores_desired_count: the service is made with ``ignore_changes`` of its desired count, so that a 0 here
            changes nothing there.
    """

    claimant: str
    role: aws.iam.Role
    desired_count: int
    minimum_capacity: int = 0
    maximum_capacity: int = 0
    ignores_desired_count: bool = False

    @property
    def on(self) -> str | None:
        """Why it is on, or None; a desired count of 0 is not off while scaling may add tasks, or nobody obeys it."""
        if self.desired_count > 0:
            return f"desired count {self.desired_count}"
        if self.maximum_capacity > 0 or self.minimum_capacity > 0:
            return f"scaling up to {max(self.maximum_capacity, self.minimum_capacity)} tasks, desired count 0 or not"
        return "a desired count of 0 that is ignored" if self.ignores_desired_count else None


@dataclass(frozen=True, kw_only=True)
class PipeConsumer:
    """An EventBridge pipe with the queue as its source; on unless it is stopped.

    Attributes:
        role: the pipe's.
        desired_state: None is running, on AWS too.
    """

    claimant: str
    role: aws.iam.Role
    desired_state: Literal["RUNNING", "STOPPED"] | None = None

    @property
    def on(self) -> str | None:
        """Why it is on, or None; unset means running."""
        return None if self.desired_state == "STOPPED" else f"pipe {self.desired_state or 'running by default'}"


Consumer = FunctionConsumer | ServiceConsumer | PipeConsumer
