"""What the commands share: their options and exit codes, the stack they are about, how an error is written.

No command is defined here.
"""

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ops.commands import completion

if TYPE_CHECKING:
    from ops.switching.stacks import SwitchableStack
    from ops.target import Target
    from ops.watching.gathering import StackView

LARGEST_INTEGER = 2**63 - 1
"""Of a receipt's number, as ``pipeline/contracts/limits.py`` has it."""
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class Person(StrEnum):
    """Who needs rights: to deploy and switch, or to use the other commands."""

    DEPLOYER = "deployer"
    OPERATOR = "operator"


AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output.")]
StackName = Annotated[
    str,
    typer.Option(
        "--stack",
        help="The Pulumi stack; `local` is the one on this machine.",
        autocompletion=completion.stacks,
        # Before the arguments whose completion asks which stack is meant.
        is_eager=True,
    ),
]
Wait = Annotated[bool, typer.Option(help="Wait until it is searchable.")]
LONGEST_WAIT = 14 * 86_400
"""Seconds: the longest that SQS keeps a message, so nothing comes later."""
Timeout = Annotated[float, typer.Option(help="Seconds to wait.", min=0, max=LONGEST_WAIT)]
ImageId = Annotated[
    str,
    typer.Argument(
        help="The image's id, or the beginning of it that no other image has.", autocompletion=completion.images
    ),
]
ReceiptId = Annotated[
    int,
    typer.Argument(
        help="The receipt's number in the image.",
        min=1,
        max=LARGEST_INTEGER,
        autocompletion=completion.receipts,
    ),
]


class Collection(StrEnum):
    """The two collections."""

    LINES = "lines"
    WORDS = "words"


class DeadLetters(StrEnum):
    """The dead letter queues, by the queue or stream whose messages they hold."""

    PICTURES = "pictures"
    OCR_RESULTS = "ocr-results"
    EMBED = "embed"
    LINES = "lines"
    WORDS = "words"
    STREAM = "stream"


class Stage(StrEnum):
    """Whose logs are read."""

    PICTURES = "pictures"
    UPLOAD = "upload"
    EMBED = "embed"
    STREAM = "stream"
    MERGE = "merge"


class Mode(StrEnum):
    """What a search compares."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    TEXT = "text"


class Consumer(StrEnum):
    """The values of receipts:embedConsumer."""

    LAMBDA = "lambda"
    ECS = "ecs"
    HYBRID = "hybrid"
    NONE = "none"


def connect(stack_name: str) -> "Target":
    """The stack of that name: its outputs and clients; raises what ``ops.stacks.by_name`` raises."""
    from ops.stacks import by_name

    return by_name.connect(stack_name)


def switchable(stack_name: str) -> "SwitchableStack":
    """The stack of that name, to be switched."""
    from ops.stacks import by_name

    return by_name.switchable(stack_name)


def view(stack_name: str) -> "StackView":
    """The stack of that name, to be watched."""
    from ops.stacks import by_name

    return by_name.view(stack_name)


def confirmed(question: str) -> bool:
    """Ask a person at a terminal a question. The end of the input, Ctrl-D, is a no.

    Raises:
        KeyboardInterrupt: Ctrl-C, which Typer does not tell from Ctrl-D.
    """
    try:
        return typer.confirm(question)
    except typer.Abort as error:
        # The question is still on the line.
        typer.echo(err=True)
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        return False


class Engine(StrEnum):
    """What can make the stack on this machine."""

    IN_PROCESS = "in-process"
    PULUMI = "pulumi"


def complain(error: Exception | str) -> None:
    """Write an error to standard error; what it quotes from data cannot act on the terminal."""
    from ops.errors import OperatorError
    from ops.failures import told
    from ops.visible import visible, visible_lines
    from pipeline.errors import PipelineError

    # Those of the pipeline and of an operator are one line, so a break in them is from data.
    has_lines = not isinstance(error, PipelineError | OperatorError | str)
    text = error if isinstance(error, str) else told(error)
    typer.secho(visible_lines(text) if has_lines else visible(text), fg=typer.colors.RED, err=True)


def write_error(code: str, message: str, way_out: str) -> None:
    """Write an error for programs: the one document on standard output of a command that has no other."""
    from ops.visible import visible_json

    document = {"error": {"code": code, "message": message, "way_out": way_out}}
    sys.stdout.write(visible_json(json.dumps(document, ensure_ascii=False, indent=2)) + "\n")
