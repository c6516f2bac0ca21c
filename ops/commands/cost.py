"""The command about money and scale: cost."""

from typing import Annotated

import typer

from ops.commands.options import AsJson

application = typer.Typer()

LEAST_RATE = 0.000_01
"""Receipts a second; about one a day."""


@application.command("cost")
def cost(
    stack: Annotated[str, typer.Option("--stack", help="The Pulumi stack, made or not yet made.")] = "dev",
    rate: Annotated[
        float, typer.Option("--rate", help="Receipts a second; 0 is an idle stack.", min=0, max=10_000)
    ] = 0,
    stored: Annotated[
        float, typer.Option("--stored", help="Receipts that the collections hold.", min=1, max=1_000_000_000)
    ] = 600,
    as_json: AsJson = False,
) -> None:
    """What a stack costs a month with each consumer, how soon receipts are searchable, and what saturates first."""
    from ops.console import Output
    from ops.cost.procedure import run_cost

    if 0 < rate < LEAST_RATE:
        raise typer.BadParameter(
            f"{rate}. Rule: 0, or at least {LEAST_RATE:f}. Way out: give 0, which is an idle stack.",
            param_hint="--rate",
        )
    output = Output(as_json=as_json)
    output.document(run_cost(output, stack, rate, stored))
