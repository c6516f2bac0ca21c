"""The procedure, in order: preflight, plan, flag and update, checks; and the way back.

A switch that cannot begin raises, before anything is changed. A failure or an interruption after that is reported,
never raised: somebody must be asked for the way back, and programs must get their document. Going back is offered only
when this switch made the stack's last update: otherwise it would undo somebody else's. The module is longer than most,
so that the whole order is in one place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from one_consumer.audit.judgement import as_document
from ops.auditing import audit
from ops.console import Output, styled
from ops.failures import reason
from ops.switching.checks import Check, CheckState, SwitchChecks, check_seconds, embed_queues
from ops.switching.plan import PlannedStep, blockers, own_consumers, plan, strangers
from ops.switching.showing import live_checks
from ops.switching.stacks import SwitchableStack
from ops.switching.stopped import why_tasks_stopped
from ops.target import OperatorError
from ops.views import show_audit
from stack.choice import EmbedConsumer
from stack.errors import SettingsRefused

NOW: Mapping[EmbedConsumer, str] = {
    "lambda": "the Lambda function consumes the embed queue",
    "ecs": "the ECS worker consumes the embed queue",
    "hybrid": "the Lambda function consumes queue embed-lambda, the ECS worker queue embed-ecs",
    "none": "nobody consumes the embed queue, and its messages wait",
}
"""What is so when the stack is as its setting says."""


@dataclass(frozen=True, kw_only=True)
class SwitchOptions:
    """How to switch.

    Attributes:
        dry_run: show the plan and change nothing.
        roll_back: asked when the update or a check failed, with what failed; true goes back to the old consumer.
        timeout_seconds: for the checks; None is what the chosen consumer needs (``check_seconds``).
    """

    dry_run: bool = False
    roll_back: Callable[[str], bool] = lambda _: False
    timeout_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class SwitchResult:
    """How it ended, for people's exit code and programs' document.

    Attributes:
        interrupted: by Ctrl-C, after the preflight; what is half done was said.
    """

    succeeded: bool
    rolled_back: bool
    document: dict[str, Any]
    interrupted: bool = False


@dataclass
class Attempt:
    """One update.

    Attributes:
        begun: something was changed.
        ended: it went through.
        failure: what stopped it, for people.
        interrupted: it was Ctrl-C.
    """

    begun: bool = False
    ended: bool = False
    failure: str | None = None
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What was found before anything was changed.

    Attributes:
        updates: the number of the stack's last update.
        backlog: messages that wait for stage 2 or are in flight; dead letters do not wait for it.
        half_way: the consumers are not those that the last whole update chose: most likely one has failed since.
        tasks: the worker's desired count after the switch.
        already: the stack is what is wanted, and the next update would leave it so.
        no_way_back: why the settings refuse the old consumer; None when they do not.
    """

    updates: int
    current: EmbedConsumer
    backlog: int
    half_way: bool
    tasks: int
    already: bool
    no_way_back: str | None
    audited: list[dict[str, Any]]


def run_switch(output: Output, stack: SwitchableStack, wanted: EmbedConsumer, options: SwitchOptions) -> SwitchResult:
    """Switch the consumer of the embed queue.

    Raises:
        OperatorError: SWITCH_BLOCKED when somebody unknown is at work; PREVIEW_FAILED; nothing was changed.
        SettingsRefused: the stack's settings do not go with the wanted consumer; nothing was changed.
    """
    found = _preflight(output, stack, wanted)
    current = found.current
    document: dict[str, Any] = {
        "from": current,
        "to": wanted,
        "backlog": found.backlog,
        "half_way": found.half_way,
        "no_way_back": found.no_way_back,
        "preflight": found.audited,
    }
    if found.already:
        output.say(styled(f"nothing to do: embedConsumer is {wanted} already; {NOW[wanted]}", "green"))
        return SwitchResult(succeeded=True, rolled_back=False, document={**document, "plan": [], "already": True})
    steps = plan(current, wanted, tasks=found.tasks, half_way=found.half_way)
    document["plan"] = [{"resource": step.resource, "action": step.action} for step in steps]
    output.heading("2. Plan")
    _say_plan(output, steps)
    if options.dry_run:
        stack.preview(wanted, output.say)
        output.say(f"nothing was changed: embedConsumer is {current}; {NOW[current]}")
        return SwitchResult(succeeded=True, rolled_back=False, document={**document, "dry_run": True})
    attempt, began = Attempt(), datetime.now(UTC)
    checks: list[Check] = []
    try:
        output.heading("3. Flag and update")
        _update(output, stack, wanted, attempt, after=found.updates)
        if attempt.ended:
            _check(output, stack, wanted, found, options, checks=checks)
    except KeyboardInterrupt:
        attempt.interrupted = True
    failed = [f"{check.title}: {check.detail}" for check in checks if check.state is CheckState.FAILED]
    failure = attempt.failure or "; ".join(failed) or ("interrupted" if attempt.interrupted else None)
    document["checks"] = [{"title": item.title, "state": item.state, "detail": item.detail} for item in checks]
    document["failure"] = failure
    if failure is None:
        output.say(styled(f"switched from {current} to {wanted}: {NOW[wanted]}", "green"))
        return SwitchResult(succeeded=True, rolled_back=False, document=document)
    output.say_lines(styled("the switch failed:", "red"), failure)
    document["stopped_tasks"] = stopped = why_tasks_stopped(stack, wanted, began) if attempt.begun else []
    output.say(*stopped)
    way_on = _way_on(stack, attempt, current, wanted, found.updates)
    if way_on or attempt.interrupted or current == wanted or not options.roll_back(failure):
        document["way_on"] = way_on or _both_ways(stack, attempt, current, wanted)
        output.say(document["way_on"])
        return SwitchResult(succeeded=False, rolled_back=False, document=document, interrupted=attempt.interrupted)
    output.heading(f"5. Roll back to {current}")
    return _roll_back(output, stack, wanted, found, document, half_way=not attempt.ended)


def _way_on(
    stack: SwitchableStack, attempt: Attempt, current: EmbedConsumer, wanted: EmbedConsumer, updates: int
) -> str | None:
    """What to do where going back would undo nothing, or somebody else's update; None where it may be offered."""
    if not attempt.begun:
        first = "to switch after all: " if attempt.interrupted else "mend what it names, then: "
        return f"nothing was changed; {first}{stack.command(wanted)}"
    try:
        last = stack.updates()
    except Exception as error:  # noqa: BLE001 - not knowing is no reason to undo what may be somebody else's
        return (
            f"it is unknown whether somebody else has updated the stack since ({reason(error)}), so nothing is undone; "
            f"receipts audit, then {stack.command(wanted)} or {stack.command(current)}"
        )
    if last != updates + 1:
        return (
            "somebody else has updated the stack since, so nothing is undone; receipts audit shows what it is "
            f"now, then {stack.command(wanted)} or {stack.command(current)}"
        )
    return None


def _both_ways(stack: SwitchableStack, attempt: Attempt, current: EmbedConsumer, wanted: EmbedConsumer) -> str:
    """The commands that go on from here."""
    done = (
        "the update went through, its checks did not"
        if attempt.ended
        else f"the update to {wanted} is half done; messages wait, or its new consumer takes them already"
    )
    on = f"{done}. On: {stack.command(wanted)}"
    return on if current == wanted else f"{on}; back: {stack.command(current)}"


def waiting(backlog: int, *, moves: bool) -> str:
    """What the embed queues hold, and what becomes of it; pure."""
    if backlog == 0:
        return "no message waits or is in flight"
    counted = "1 message waits or is in flight" if backlog == 1 else f"{backlog} messages wait or are in flight"
    if not moves:
        return counted
    return f"{counted}; {'it' if backlog == 1 else 'they'} will wait for the new consumer"


def _preflight(output: Output, stack: SwitchableStack, wanted: EmbedConsumer) -> Preflight:
    # Asked first: whatever is looked at afterwards is of this update or a later one, and a later one stops the switch.
    updates = stack.updates()
    stack.require_free()
    target = stack.target()
    current: EmbedConsumer = target.outputs["embedConsumer"]
    output.heading(f"1. Preflight: {current} to {wanted}")
    settings = stack.settings(wanted)
    audited = audit(target)
    show_audit(output, audited)
    queues = embed_queues(target.outputs)
    embed = [item for item in audited if item.expected.label in queues]
    backlog = sum(item.visible + item.in_flight for item in embed)
    output.say(waiting(backlog, moves=current != wanted))
    own = own_consumers(target.outputs)
    unknown = {item.expected.label: strangers(item.consumers, own) for item in embed}
    if blocking := blockers(audited, unknown):
        raise OperatorError(
            "SWITCH_BLOCKED",
            "; ".join(blocking),
            "turn off what it names, by hand: it is not this stack's, or not this queue's; then switch",
        )
    half_way = any(item.finding for item in embed)
    if half_way:
        output.say("the consumers are not those that the last whole update chose; the plan sets all of them again")
    no_way_back = _refusal(stack, current) if current != wanted else None
    if no_way_back:
        output.say_lines(styled(f"there will be no way back to {current}:", "yellow"), no_way_back)
    return Preflight(
        updates=updates,
        current=current,
        backlog=backlog,
        half_way=half_way,
        tasks=settings.worker_count,
        already=current == wanted and not half_way and target.unfinished is None and stack.flag() == wanted,
        no_way_back=no_way_back,
        audited=as_document(audited),
    )


def _refusal(stack: SwitchableStack, consumer: EmbedConsumer) -> str | None:
    try:
        stack.settings(consumer)
    except SettingsRefused as error:
        return str(error)
    return None


def _check(
    output: Output,
    stack: SwitchableStack,
    wanted: EmbedConsumer,
    found: Preflight,
    options: SwitchOptions,
    *,
    checks: list[Check],
) -> None:
    """Make the checks; ``checks`` holds what was seen last, also when they are interrupted."""
    seconds = options.timeout_seconds
    if seconds is None:
        seconds = check_seconds(wanted, on_fargate=stack.on_fargate)
    output.heading(f"4. Checks, for up to {seconds:.0f} s")
    run = SwitchChecks(stack=stack, wanted=wanted, since=datetime.now(UTC), backlog=found.backlog)
    with live_checks(output) as show:

        def tell(seen: list[Check]) -> None:
            checks[:] = seen
            show(seen)

        try:
            run.run(seconds, tell)
        finally:
            # Also after Ctrl-C, and before a way back: the removal does not pass by the embed queue.
            _clean_up(output, run)


def _clean_up(output: Output, checks: SwitchChecks) -> None:
    """Remove the checks' receipt; a failure to remove it is reported, and fails no switch."""
    try:
        removed = checks.clean_up()
    except Exception as error:  # noqa: BLE001 - the switch has ended as it has ended
        output.say_lines(styled("the checks' receipt was not removed:", "yellow"), reason(error))
        output.say('  receipts search "SWITCH CHECK" --json shows it; receipts remove takes it away')
        return
    if removed:
        output.say(f"the checks' receipt, of image {removed.image_id}, is removed with the next publication")


def _update(output: Output, stack: SwitchableStack, consumer: EmbedConsumer, attempt: Attempt, *, after: int) -> None:
    """Update, and note in ``attempt`` how far it came; what went wrong is not raised: the way back comes next."""

    def begin() -> None:
        attempt.begun = True

    try:
        stack.update(consumer, lambda line: output.say(f"  {line.expandtabs()}"), after=after, on_begin=begin)
        attempt.begun = attempt.ended = True
    except Exception as error:  # noqa: BLE001 - whatever stopped it, consumers may be half switched now
        attempt.failure = reason(error)


def _roll_back(
    output: Output,
    stack: SwitchableStack,
    wanted: EmbedConsumer,
    found: Preflight,
    document: dict[str, Any],
    *,
    half_way: bool,
) -> SwitchResult:
    current, attempt = found.current, Attempt()
    try:
        # Before the flag is written: one that the program refuses would stop every other update as well.
        tasks = stack.settings(current).worker_count
        _say_plan(output, plan(wanted, current, tasks=tasks, half_way=half_way))
        _update(output, stack, current, attempt, after=found.updates + 1)
    except KeyboardInterrupt:
        attempt.interrupted, attempt.failure = True, "interrupted"
    except Exception as error:  # noqa: BLE001 - the document must say how far it came
        attempt.failure = reason(error)
    failure = attempt.failure
    document["roll_back_failure"] = failure
    if failure:
        output.say_lines(styled("the way back failed:", "red"), failure)
        done = "it is half done" if attempt.begun else "nothing of it was done"
        document["way_on"] = f"{done}; mend what it names, then: {stack.command(current)}"
        output.say(document["way_on"])
    try:
        after = audit(stack.target())
        document["after"] = as_document(after)
        show_audit(output, after)
    except Exception as error:  # noqa: BLE001 - the update was made; only the look at it failed
        document["after"] = None
        output.say_lines(styled("receipts audit did not answer:", "red"), reason(error))
    return SwitchResult(
        succeeded=False, rolled_back=failure is None, document=document, interrupted=attempt.interrupted
    )


def _say_plan(output: Output, steps: list[PlannedStep]) -> None:
    for number, step in enumerate(steps, 1):
        output.say(f"  {number}. {step.resource}: {step.action}")
    if not steps:
        output.say("  the consumer of the embed queue stays who it is; what an earlier update left undone is done")
