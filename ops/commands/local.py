"""The ``receipts local`` commands: the stack on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from ops.commands.options import AsJson, Consumer, Engine

if TYPE_CHECKING:
    from ops.console import Output
    from ops.local.stack import LocalStack

NEXT = (
    ("receipts upload samples/*.json", "put receipts in, and wait until they are searchable"),
    ('receipts search "oat milk"', "find a line"),
    ("receipts status", "queues, runs, consumer, versions"),
    ("receipts logs --follow", "what the stages say"),
    ("receipts local page", "the same as a web page"),
    ("receipts local down", "stop; the state is kept"),
)
"""What a person does first with a stack that is up: command and purpose."""
PAUSED = ("receipts switch lambda", "receipts wait until somebody consumes them")

application = typer.Typer(no_args_is_help=True, help="The stack on this machine.")


@application.command("up")
def local_up(
    consumer: Annotated[Consumer | None, typer.Option(help="Overrides receipts:embedConsumer.")] = None,
    engine: Annotated[
        Engine | None,
        typer.Option(help="Who makes it: this process (the default), or the real Pulumi CLI. Kept with the state."),
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Serve its web page on 127.0.0.1 as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the stack up, or update the running one; each step is shown when it ends."""
    from ops.console import Output
    from ops.local.stack import LocalStack

    output = Output(as_json=as_json, goes_on=True)
    stack = LocalStack()
    if not stack.is_running():
        output.say("starting the emulator and the processes of the stack ...")
    result = stack.up(
        {} if consumer is None else {"embedConsumer": consumer.value},
        engine=None if engine is None else engine.value,
        on_step=lambda step: output.step(step.operation, step.line),
    )
    chosen = result.outputs.get("embedConsumer")
    output.say(f"{len(result.changes)} resources changed, {result.unchanged} unchanged; the stack is up, with {chosen}")
    output.heading("Next")
    for command, what in NEXT if chosen != "none" else (PAUSED, *NEXT):
        output.say(f"  {command:36}{what}")
    output.document(
        {
            "changes": [
                {"operation": step.operation, "type": step.type, "name": step.name, "summary": step.summary}
                for step in result.changes
            ],
            "outputs": dict(result.outputs),
            "page": _open_page(output, stack, None) if page else None,
        }
    )


@application.command("page")
def local_page(
    port: Annotated[
        int | None,
        typer.Option(help="On 127.0.0.1.", show_default="that of last time, else a free one", min=1, max=65_535),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the running stack's web page on 127.0.0.1, until `receipts local down`, and print its address."""
    from ops.console import Output
    from ops.local.stack import LocalStack

    output = Output(as_json=as_json)
    output.document({"page": _open_page(output, LocalStack(), port)})


@application.command("down")
def local_down(
    destroy: Annotated[bool, typer.Option("--destroy", help="Remove the state as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the stack; its state is kept for the next `up` unless --destroy is given."""
    from ops.console import Output
    from ops.local.stack import LocalStack

    output = Output(as_json=as_json, goes_on=True)
    stack = LocalStack()
    runs, exists = stack.is_running(), stack.engine_name() is not None
    stack.down(destroy=destroy)
    if destroy:
        output.say("the stack is destroyed" if exists or runs else "there is no stack on this machine; nothing to do")
    elif runs:
        output.say("the stack is stopped; its state is kept, and `receipts local up` goes on with it")
    else:
        kept = "its state is kept, and `receipts local up` starts it" if exists else "there is none on this machine"
        output.say(f"the stack was not up, so nothing was stopped; {kept}")
    output.document({"stopped": runs, "destroyed": destroy and (exists or runs)})


@application.command("status")
def local_status(as_json: AsJson = False) -> None:
    """The processes of the stack on this machine."""
    from ops.console import Output
    from ops.local.stack import LocalStack
    from ops.views import show_processes

    output = Output(as_json=as_json)
    status = LocalStack().status()
    show_processes(output, status)
    output.document(status)


def _open_page(output: "Output", stack: "LocalStack", port: int | None) -> str:
    """Have the page served, and say where."""
    from ops.page.serving import open_page

    address = open_page(stack, port)
    output.say(f"the page: {address}")
    return address
