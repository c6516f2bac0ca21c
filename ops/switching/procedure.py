"""The procedure, in order: preflight, plan, flag and update, checks; and the way back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ops.auditing import as_document, audit
from ops.console import Output
from ops.local.engine import EngineError
from ops.switching.checks import Check, CheckState, SwitchChecks
from ops.switching.plan import PlannedStep, blocking_findings, plan
from ops.switching.stacks import SwitchableStack
from ops.target import OperatorError
from stack.choice import EmbedConsumer


@dataclass(frozen=True, kw_only=True)
class SwitchOptions:
    """How to switch.

    Attributes:
        dry_run: tell the plan and change nothing.
        roll_back: asked when the update or a check failed, with what failed; true goes back to the old consumer.
        timeout_seconds: for the checks.
    """

    dry_run: bool = False
    roll_back: Callable[[str], bool] = lambda _: False
    timeout_seconds: float = 300.0


@dataclass(frozen=True, kw_only=True)
class SwitchResult:
    """How it ended, for people's exit code and programs' document."""

    succeeded: bool
    rolled_back: bool
    document: dict[str, Any]


def run_switch(output: Output, stack: SwitchableStack, wanted: EmbedConsumer, options: SwitchOptions) -> SwitchResult:
    """Switch the consumer of the embed queue.

    Raises:
        OperatorError: SWITCH_BLOCKED when somebody unknown is at work; nothing was changed.
    """
    target = stack.target()
    current: EmbedConsumer = target.outputs["embedConsumer"]
    output.heading(f"1. Preflight: {current} to {wanted}")
    audited = audit(target)
    output.audit(audited)
    backlog = sum(item.visible + item.in_flight for item in audited if item.expected.label.startswith("embed"))
    output.say(f"{backlog} messages wait or are in flight; they will wait for the new consumer")
    document: dict[str, Any] = {"from": current, "to": wanted, "backlog": backlog, "preflight": as_document(audited)}
    if blocking := blocking_findings(audited):
        raise OperatorError(
            "SWITCH_BLOCKED",
            "; ".join(f"{item.finding} on queue {item.expected.label}" for item in blocking),
            "turn off by hand what receipts audit shows and no program knows, or run the update again, then switch",
        )
    steps = plan(current, wanted)
    document["plan"] = [{"resource": step.resource, "action": step.action} for step in steps]
    output.heading("2. Plan")
    _say_plan(output, steps)
    if options.dry_run:
        stack.preview(wanted, output.say)
        return SwitchResult(succeeded=True, rolled_back=False, document={**document, "dry_run": True})
    output.heading("3. Flag and update")
    failure = _update(output, stack, wanted)
    checks: list[Check] = []
    if failure is None:
        output.heading("4. Checks")
        run = SwitchChecks(stack=stack, wanted=wanted, since=datetime.now(UTC), backlog=backlog)
        with output.live_checks() as show:
            checks = run.run(options.timeout_seconds, show)
        failed = [check for check in checks if check.state is CheckState.FAILED]
        failure = "; ".join(f"{check.title}: {check.detail}" for check in failed) or None
    document["checks"] = [{"title": item.title, "state": item.state, "detail": item.detail} for item in checks]
    document["failure"] = failure
    if failure is None:
        output.say(f"[green]switched: {wanted} consumes the embed queue[/green]")
        return SwitchResult(succeeded=True, rolled_back=False, document=document)
    output.say(f"[red]the switch failed:[/red] {failure}")
    if current == wanted or not options.roll_back(failure):
        output.say(f"way back: receipts switch {current}")
        return SwitchResult(succeeded=False, rolled_back=False, document=document)
    output.heading(f"5. Roll back to {current}")
    _say_plan(output, plan(wanted, current))
    document["roll_back_failure"] = again = _update(output, stack, current)
    document["after"] = as_document(after := audit(stack.target()))
    output.audit(after)
    return SwitchResult(succeeded=False, rolled_back=again is None, document=document)


def _update(output: Output, stack: SwitchableStack, consumer: EmbedConsumer) -> str | None:
    """Update; what went wrong is told, not raised: the way back comes next."""
    try:
        stack.update(consumer, lambda line: output.say(f"  {line}"))
    except (EngineError, OperatorError) as error:
        return str(error)
    return None


def _say_plan(output: Output, steps: list[PlannedStep]) -> None:
    for number, step in enumerate(steps, 1):
        output.say(f"  {number}. {step.resource}: {step.action}")
    if not steps:
        output.say("  the consumer of the embed queue stays who it is")
