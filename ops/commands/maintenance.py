"""The commands that find what went wrong in the data and mend it: rebuild, resolve, reconcile."""

from dataclasses import asdict
from typing import Annotated

import typer

from ops import LOCAL_STACK_NAME
from ops.commands import options
from ops.commands.options import EXIT_FAILED, AsJson, Collection, StackName, Timeout

application = typer.Typer()


@application.command("rebuild")
def rebuild_collection(
    collection: Annotated[Collection, typer.Option(help="Which collection.")],
    from_deltas: Annotated[
        bool, typer.Option("--from-deltas", help="From the deltas of all runs instead of the current version.")
    ] = False,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Build a collection again and publish it: index and letters, or with --from-deltas everything."""
    from ops.console import Output
    from ops.rebuilding import rebuild

    output = Output(as_json=as_json, goes_on=True)
    target = options.connect(stack)
    with output.progress(f"rebuilding {collection.value}", None) as bar:
        rebuilt = rebuild(target, collection.value, from_deltas=from_deltas)
        bar.set(1, 1)
    output.document({"collection": collection.value, **asdict(rebuilt)})
    output.say(f"version {rebuilt.version} of {collection.value} has {rebuilt.rows} rows and {rebuilt.texts} texts")


@application.command("resolve")
def resolve_merchants(stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False) -> None:
    """Resolve the merchants of receipts that came before their merchant was known, as the tick does every minute."""
    from ops.console import Output
    from ops.resolving import resolve

    output = Output(as_json=as_json, goes_on=True)
    resolved = resolve(options.connect(stack))
    output.document(asdict(resolved))
    output.say(
        f"{resolved.recorded} of {resolved.asked} receipts without a merchant got one; the next publications show it"
    )


@application.command("reconcile")
def reconcile_collections(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended, then look again.")] = False,
    timeout: Timeout = 600.0,
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """Compare runs, deltas and vectors with each other; exit code 1 while anything is missing, surplus or stale."""
    from ops.console import Output
    from ops.reconciling.procedure import run_reconcile

    output = Output(as_json=as_json, goes_on=True)
    document = run_reconcile(output, options.connect(stack), mend=repair, timeout_seconds=timeout)
    output.document(document)
    if document["findings"]:
        raise typer.Exit(EXIT_FAILED)
