"""The commands about the queue and its consumer: audit, status, switch, preflight."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ops import LOCAL_STACK_NAME
from ops.commands import options
from ops.commands.options import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    LONGEST_WAIT,
    AsJson,
    Consumer,
    Person,
    StackName,
    complain,
)

if TYPE_CHECKING:
    from ops.target import Target

application = typer.Typer()


@application.command("audit")
def audit_consumers(stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False) -> None:
    """Every live consumer of every queue; exit code 1 when one queue has two, or none where one should be."""
    from one_consumer.audit.judgement import MEANINGS, as_document
    from ops.auditing import audit
    from ops.console import Output
    from ops.views import show_audit

    output = Output(as_json=as_json)
    target = options.connect(stack)
    audited = audit(target)
    show_audit(output, audited)
    output.document(as_document(audited))
    findings = [
        f"{item.finding}: queue {item.expected.label}. {MEANINGS[item.finding]}" for item in audited if item.finding
    ]
    for finding in findings:
        complain(finding)
    chosen = target.outputs["embedConsumer"]
    output.say(
        f"{len(findings)} of {len(audited)} queues have other consumers than they should; embedConsumer is {chosen}"
        if findings
        else f"all {len(audited)} queues have exactly the consumers that they should; embedConsumer is {chosen}"
    )
    _tell_unfinished(target)
    if findings:
        raise typer.Exit(EXIT_FAILED)


@application.command("status")
def status(stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False) -> None:
    """Queues, runs, the consumer that is on, and the published versions."""
    from ops.console import Output
    from ops.reporting import stack_status
    from ops.views import show_status

    output = Output(as_json=as_json)
    target = options.connect(stack)
    report = stack_status(target)
    show_status(output, report)
    output.document(report)
    _tell_unfinished(target)


@application.command("switch")
def switch(
    consumer: Consumer,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    auto_rollback: Annotated[bool, typer.Option("--auto-rollback", help="Go back by itself when it fails.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds for the checks.", show_default="what the consumer may need", min=0, max=LONGEST_WAIT
        ),
    ] = None,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Switch the embed queue's consumer: preflight, plan, update, six checks, and the way back when one fails."""
    from ops.console import Output
    from ops.switching.procedure import SwitchOptions, run_switch

    output = Output(as_json=as_json, goes_on=True)

    def roll_back(failure: str) -> bool:
        del failure
        try:
            return auto_rollback or (sys.stdin.isatty() and not as_json and options.confirmed("Roll back?"))
        except KeyboardInterrupt:
            # The stack is half switched: how it ended, and the ways on, must still be told.
            return False

    choices = SwitchOptions(dry_run=dry_run, roll_back=roll_back, timeout_seconds=timeout)
    result = run_switch(output, options.switchable(stack), consumer.value, choices)
    ended = {"succeeded": result.succeeded, "rolled_back": result.rolled_back, "interrupted": result.interrupted}
    output.document({**result.document, **ended})
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not result.succeeded:
        raise typer.Exit(EXIT_FAILED)


@application.command("preflight")
def preflight(
    stack: Annotated[str, typer.Option("--stack", help="The Pulumi stack, on AWS, made or not yet made.")] = "dev",
    policy: Annotated[
        Person | None, typer.Option("--policy", help="Write this person's IAM policy and ask nothing.")
    ] = None,
    account: Annotated[str, typer.Option(help="The account's number, for --policy.")] = "ACCOUNT",
    as_json: AsJson = False,
) -> None:
    """What the account would refuse of an update, before it begins; exit code 1 when it would refuse something."""
    from ops.console import Output
    from ops.preflight.procedure import declared, policy_of, run_preflight

    output = Output(as_json=as_json or policy is not None)
    wanted = declared(stack)
    if policy is not None:
        output.document(policy_of(wanted, policy.value, account))
        return
    document = run_preflight(output, wanted, wanted.access.client)
    output.document(document)
    if document["refused"]:
        raise typer.Exit(EXIT_FAILED)


def _tell_unfinished(target: "Target") -> None:
    """Say that an update has not ended, and which command ends it."""
    from ops.errors import OperatorError

    if target.unfinished is not None:
        unfinished = OperatorError(
            "UPDATE_UNFINISHED",
            f"an update to embedConsumer {target.unfinished!r} has begun and not ended well",
            f"wait while somebody makes it; otherwise receipts switch {target.unfinished} goes on",
        )
        complain(str(unfinished))
