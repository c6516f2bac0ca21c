"""The ``one-consumer`` command. It decides nothing; each subcommand is in the part that it belongs to."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from one_consumer.pack import installed


def main(words: Sequence[str] | None = None) -> int:
    """The console script.

    Args:
        words: the command line without its first word; None for this process's own.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="one-consumer", description="One queue, one consumer, for any stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    pack_path = commands.add_parser("pack-path", help="print what `pulumi preview --policy-pack` takes")
    pack_path.add_argument(
        "--folder", type=Path, help="write a folder instead, for a Pulumi CLI that takes no executable file"
    )
    arguments = parser.parse_args(words)
    if arguments.folder is None:
        sys.stdout.write(f"{installed.executable()}\n")
    else:
        installed.write_folder(arguments.folder)
        sys.stdout.write(f"{arguments.folder.resolve()}\n")
    return 0
