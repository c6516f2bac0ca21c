"""The steps of the worker's scaling: AWS refuses a policy with too many, and a gap between two would scale nothing."""

import math

import pytest

from stack.limits import STEP_ADJUSTMENTS_MAXIMUM
from stack.scaling import scaling_steps
from stack.settings import MAXIMUM_TASKS
from tests.program.engine import DIGEST_IMAGE, run_program

MESSAGES = 200


@pytest.mark.parametrize("maximum", range(1, MAXIMUM_TASKS + 1))
def test_steps_are_few_and_leave_no_backlog_without_its_tasks(maximum: int) -> None:
    steps = scaling_steps(maximum, MESSAGES)
    assert len(steps) <= STEP_ADJUSTMENTS_MAXIMUM
    assert (steps[0].tasks, steps[0].above) == (1, 0)
    assert (steps[-1].tasks, steps[-1].below) == (maximum, None)
    assert [step.below for step in steps[:-1]] == [step.above for step in steps[1:]]
    spare = math.ceil((maximum - 1) / (STEP_ADJUSTMENTS_MAXIMUM - 1)) if maximum > STEP_ADJUSTMENTS_MAXIMUM else 0
    for backlog in range(1, maximum * MESSAGES + MESSAGES, 50):
        # The alarm's threshold is one message, and a step holds from its lower bound on, without its upper one.
        above = backlog - 1
        (step,) = [item for item in steps if item.above <= above and (item.below is None or above < item.below)]
        wanted = min(maximum, math.ceil(backlog / MESSAGES))
        assert wanted <= step.tasks <= wanted + spare


def test_the_largest_worker_has_a_policy_that_aws_takes() -> None:
    recording = run_program(
        {"imageUri": DIGEST_IMAGE, "embedConsumer": "ecs", "ecs": f'{{"maximumTasks": {MAXIMUM_TASKS}}}'}
    )
    busy = recording.one("aws:appautoscaling/policy:Policy", "worker-busy")
    steps = busy.inputs["stepScalingPolicyConfiguration"]["stepAdjustments"]
    assert len(steps) == STEP_ADJUSTMENTS_MAXIMUM
    assert steps[-1]["scalingAdjustment"] == MAXIMUM_TASKS
