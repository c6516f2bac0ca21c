"""The ``receipts`` command: its commands put together, and how it ends. The commands are in ``ops/commands``.

A command imports what it does when it is called: ``--help`` and a mistyped option are answered without Pulumi, AWS's
clients and Chroma, which take a second to import.
"""

import atexit
import gc
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from ops.commands import consumers, cost, dead_letters, diagnosis, documents, local, maintenance, reading, watching
from ops.commands.numbers import misfit_of
from ops.commands.options import EXIT_FAILED, EXIT_INTERRUPTED, complain, write_error

application = typer.Typer(
    no_args_is_help=True, help="One queue, two possible consumers.", pretty_exceptions_enable=False
)
application.add_typer(local.application, name="local")
application.add_typer(dead_letters.application, name="dead-letters")
for group in (documents, reading, consumers, watching, cost, maintenance, diagnosis):
    application.add_typer(group.application)
OBJECTS_BEFORE_COLLECTION = 200_000
"""Python looks for garbage after every 700 objects by itself, and finds none in what a command imports and parses.
Commands that stay, such as `watch`, still collect."""
UNANSWERED = "the input ended where an answer was expected; nothing more was done"
INTERRUPTED = "`receipts status` says what is half done, if anything is"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"receipts {version('receipts')}, Python {sys.version.split()[0]}")
        raise typer.Exit


@application.callback()
def receipts(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """One queue, two possible consumers."""


def _complain_of_usage(error: TyperException, *, as_json: bool) -> None:
    """Say how a command was called wrongly. Pydantic's own prefix says nothing to a person."""
    error.message = error.message.replace("Value error, ", "")
    way_out = "add --help instead of --json to see what the command takes"
    number = misfit_of(error)
    if number:
        error.message, way_out = number.message, f"{number.way_out}; {way_out}"
    if as_json:
        write_error("USAGE", error.format_message(), way_out)
        typer.echo(f"Error: {error.format_message()}", err=True)
        return
    if number:
        error.message += f". Way out: {number.way_out}."
    from typer.rich_utils import rich_format_error

    shown: Any = error  # Typer declares a narrower class than it raises.
    rich_format_error(shown)


def _has_written() -> bool:
    """Whether the command has written its document."""
    console = sys.modules.get("ops.console")
    return console is not None and console.Output.has_written


def _fail(error: Exception, *, as_json: bool) -> NoReturn:
    """Tell an operator's error and end."""
    from ops.failures import described

    complain(error)
    if as_json and not _has_written():
        found = described(error)
        write_error(found.code, found.message, found.way_out)
    sys.exit(EXIT_FAILED)


def main() -> None:
    """The console script: errors of the operator are one line and exit code 1, a bug is a traceback.

    With ``--json`` among the arguments an error, also one of usage, is a document on standard output as well.
    """
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    # What is left at the end goes with the process; Python would look through all of it three times before.
    atexit.register(gc.freeze)
    as_json = "--json" in sys.argv[1:]
    if "ops.console" in sys.modules:
        sys.modules["ops.console"].Output.has_written = False
    try:
        ended = application(standalone_mode=False)
        sys.exit(ended if isinstance(ended, int) else 0)
    except SystemExit as end:
        # Typer ends with this code after Ctrl-C and prints nothing.
        if end.code == EXIT_INTERRUPTED:
            typer.echo(f"interrupted; {INTERRUPTED}", err=True)
            if as_json and not _has_written():
                write_error("INTERRUPTED", "the command was interrupted", INTERRUPTED)
        raise
    except TyperException as error:
        _complain_of_usage(error, as_json=as_json)
        sys.exit(error.exit_code)
    except typer.Abort:
        from ops.errors import OperatorError

        _fail(OperatorError("NOT_CONFIRMED", UNANSWERED, "ask again at a terminal"), as_json=as_json)
    except Exception as error:
        from ops.failures import speaks

        if not speaks(error):
            raise
        _fail(error, as_json=as_json)
