"""The commands that look for what is wrong: logs, doctor."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ops import LOCAL_STACK_NAME
from ops.commands import completion, options
from ops.commands.options import EXIT_FAILED, LARGEST_INTEGER, AsJson, StackName, Stage, complain

if TYPE_CHECKING:
    from ops.logs.lines import LogLine
    from ops.target import Target

application = typer.Typer()


@application.command("logs")
def show_logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    stage: Annotated[Stage | None, typer.Option(help="Only this stage's.")] = None,
    image: Annotated[
        str | None,
        typer.Option(help="Only lines about this image; an id, or its beginning.", autocompletion=completion.images),
    ] = None,
    receipt: Annotated[
        int | None,
        typer.Option(help="Only about this receipt of --image.", min=1, max=LARGEST_INTEGER),
    ] = None,
    since: Annotated[str, typer.Option(help="How far back: 90s, 15m, 2h or 1d.")] = "1h",
    stack: StackName = LOCAL_STACK_NAME,
    as_json: AsJson = False,
) -> None:
    """What the stages have logged, in the order of time. With --json one line is one JSON object."""
    from datetime import UTC, datetime

    from ops.console import Output
    from ops.errors import OperatorError
    from ops.logs import reading
    from ops.logs.lines import beginning, hosts, is_about
    from ops.views import show_log_line

    output = Output(as_json=as_json)
    start = beginning(since, datetime.now(UTC))
    if receipt is not None and image is None:
        raise OperatorError("IMAGE_MISSING", f"receipt {receipt} of which image was not said", "give --image as well")
    target = options.connect(stack)
    names = _names(target, image, receipt)
    source = reading.source(target, hosts(target.outputs, stage.value if stage else None), start)

    def show(line: "LogLine") -> None:
        if is_about(line, names):
            show_log_line(output, line)

    if follow:
        reading.follow(source, show, complain)
    for line in source.read():
        show(line)


def _names(target: "Target", image: str | None, receipt: int | None) -> set[str]:
    """What a line about a receipt names: its image, or its runs; empty when none was asked for."""
    if image is None:
        return set()
    from uuid import UUID

    from ops.choosing import whole_image
    from ops.operations import repository

    whole = whole_image(target, image)
    if receipt is None:
        runs = repository(target).of_image(UUID(whole))
        return {whole, *(run.run_id for run in runs)}
    return {f"ocr/{whole}", *(run.run_id for run in repository(target).of_receipt(UUID(whole), receipt))}


@application.command("doctor")
def examine_everything(stack: StackName = LOCAL_STACK_NAME, as_json: AsJson = False) -> None:
    """What is wrong with this machine, the stack and the account; exit code 1 when a fault is found."""
    from ops.console import Output
    from ops.doctor.judging import Weight
    from ops.doctor.looking import examine
    from ops.local.stack import LocalStack
    from ops.views import show_examination

    output = Output(as_json=as_json)
    found = examine(stack, LocalStack(), options.connect)
    show_examination(output, found)
    output.document([asdict(item) for item in found])
    if any(item.weight is Weight.FAULT for item in found):
        raise typer.Exit(EXIT_FAILED)
