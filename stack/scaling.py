"""How many tasks a backlog is worth, as the steps of one scaling policy. Pure; the policy is made by the worker."""

from collections.abc import Sequence
from dataclasses import dataclass

from stack.limits import STEP_ADJUSTMENTS_MAXIMUM


@dataclass(frozen=True, kw_only=True)
class ScalingStep:
    """An exact capacity for an interval of the backlog.

    Attributes:
        tasks: how many run.
        above: messages beyond the alarm's threshold from which the step holds.
        below: where the next one begins; None for the last step.
    """

    tasks: int
    above: int
    below: int | None


def scaling_steps(maximum_tasks: int, messages_per_task: int) -> Sequence[ScalingStep]:
    """One step a task, or as many even steps as a policy may have; no message waits for a task that a step left out.

    Args:
        maximum_tasks: the capacity of the last step; at least 1.
        messages_per_task: the backlog for which one more task is worth its start.
    """
    count = min(maximum_tasks, STEP_ADJUSTMENTS_MAXIMUM)
    # In whole numbers: a fraction that rounds up would pass the maximum.
    capacities = [1 - ((1 - maximum_tasks) * step) // max(1, count - 1) for step in range(count)]
    return [
        ScalingStep(
            tasks=tasks,
            above=0 if before is None else before * messages_per_task,
            below=None if tasks == maximum_tasks else tasks * messages_per_task,
        )
        for before, tasks in zip([None, *capacities], capacities, strict=False)
    ]
