"""The ``receipts`` command: its commands put together, and how it ends. The commands are in ``ops/commands``.

A command imports what it does when it is called: ``--help`` and a mistyped option are answered without Pulumi, AWS's
clients and Chroma, which take a second to import.
"""

import sys

import typer

from ops.commands import consumers, cost, documents, local, maintenance, reading
from ops.commands.options import EXIT_FAILED, EXIT_INTERRUPTED, complain

application = typer.Typer(
    no_args_is_help=True, help="One queue, two possible consumers.", pretty_exceptions_enable=False
)
application.add_typer(local.application, name="local")
for group in (documents, reading, consumers, cost, maintenance):
    application.add_typer(group.application)


def main() -> None:
    """The console script: errors of the operator are one line and exit code 1, a bug is a traceback."""
    try:
        application()
    except SystemExit as end:
        # Typer ends so, without a word, after Ctrl-C.
        if end.code == EXIT_INTERRUPTED:
            typer.echo("interrupted; `receipts status` says what is half done, if anything is", err=True)
        raise
    except Exception as error:
        from ops.failures import SPEAKING

        if not isinstance(error, SPEAKING):
            raise
        complain(error)
        sys.exit(EXIT_FAILED)
