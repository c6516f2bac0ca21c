"""The ``receipts local`` commands: the stack on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from ops.commands.options import AsJson, Consumer, Engine

if TYPE_CHECKING:
    from ops.console import Output
    from ops.local.stack import LocalStack

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
    """Bring the stack up, or update the running one, and print what changed."""
    from ops.console import Output
    from ops.local.stack import LocalStack

    output = Output(as_json=as_json)
    stack = LocalStack()
    result = stack.up(
        {} if consumer is None else {"embedConsumer": consumer.value}, engine=None if engine is None else engine.value
    )
    output.steps(result.steps)
    output.say(f"{len(result.changes)} resources changed, {result.unchanged} unchanged; the stack is up")
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
        int | None, typer.Option(help="On 127.0.0.1. [default: that of last time, else a free one]", min=1, max=65_535)
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

    output = Output(as_json=as_json)
    LocalStack().down(destroy=destroy)
    output.say("the stack is destroyed" if destroy else "the stack is stopped; its state is kept")
    output.document({"destroyed": destroy})


@application.command("status")
def local_status(as_json: AsJson = False) -> None:
    """The processes of the stack on this machine."""
    from ops.console import Output
    from ops.local.stack import LocalStack

    output = Output(as_json=as_json)
    status = LocalStack().status()
    for name, value in status.items():
        output.say(f"{name}: {value}")
    output.document(status)


def _open_page(output: "Output", stack: "LocalStack", port: int | None) -> str:
    """Have the page served, and say where."""
    from ops.page.serving import open_page

    address = open_page(stack, port)
    output.say(f"the page: {address}")
    return address
