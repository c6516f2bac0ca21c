"""The ``one-consumer`` command. It decides nothing; what its subcommands do is in the parts that they belong to.

A subcommand imports its part when it is called: a part whose extra is not installed harms no other.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from one_consumer import VERSION
from one_consumer.pack import installed

EXIT_FOUND = 1
EXIT_USAGE = 2
"""Of argparse itself."""
EXIT_UNREADABLE = 3
EXTRAS: Mapping[str, str] = {"boto3": "audit", "botocore": "audit"}
AUDIT = """\
Lists everything in an account that may receive from its queues, and why it is counted: event source mappings, pipes,
ECS services with their scaling, ECS tasks, and the rules and schedules that start tasks. It changes nothing. The
credentials are those that boto3 finds.

exit codes: 0 nothing is wrong; 1 a queue has a finding; 2 the command line is wrong; 3 the account could not be read
in full, so nothing is said of it.
"""


def main(words: Sequence[str] | None = None) -> int:
    """The console script.

    Args:
        words: the command line without its first word; None for this process's own.

    Returns:
        The exit code.
    """
    parser = _parser()
    arguments = parser.parse_args(words)
    if arguments.command == "pack-path":
        return _pack_path(arguments.folder)
    if not arguments.all and not arguments.queue:
        parser.error("name queues with --queue, or --all for every queue of the region")
    try:
        return _audit(arguments)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        return _complain(f"{error.name} is not installed: pip install 'one-consumer[{extra}]'", EXIT_UNREADABLE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="one-consumer", description="One queue, one consumer, for any stack.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    pack_path = commands.add_parser("pack-path", help="print what `pulumi preview --policy-pack` takes")
    pack_path.add_argument(
        "--folder", type=Path, help="write a folder instead, for a Pulumi CLI that takes no executable file"
    )
    audit = commands.add_parser(
        "audit",
        help="who consumes which queue of a live account",
        description=AUDIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = audit.add_mutually_exclusive_group()
    which.add_argument("--queue", action="append", metavar="URL", default=[], help="a queue's URL; more than once")
    which.add_argument("--all", action="store_true", help="every queue of the region or regions")
    audit.add_argument("--region", action="append", default=[], help="more than once with --all; else that of the URL")
    told = audit.add_mutually_exclusive_group()
    told.add_argument("--json", action="store_true", help="write one JSON list")
    told.add_argument("--sarif", action="store_true", help="write SARIF 2.1.0, for code scanning")
    audit.add_argument(
        "--sarif-location",
        default="Pulumi.yaml",
        metavar="FILE",
        help="where code scanning shows findings [%(default)s]",
    )
    return parser


def _pack_path(folder: Path | None) -> int:
    try:
        if folder is None:
            return _say(str(installed.executable()))
        installed.write_folder(folder)
        return _say(str(folder.resolve()))
    except installed.PackNotFoundError as error:
        return _complain(str(error), EXIT_FOUND)


def _audit(arguments: argparse.Namespace) -> int:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - of the extra `audit`

    from one_consumer.audit.account import audit_account, scopes  # noqa: PLC0415 - of the extra `audit`
    from one_consumer.audit.judgement import as_document  # noqa: PLC0415 - of the extra `audit`
    from one_consumer.audit.sarif import as_sarif  # noqa: PLC0415 - of the extra `audit`
    from one_consumer.audit.words import lines  # noqa: PLC0415 - of the extra `audit`
    from one_consumer.live.clients import connect  # noqa: PLC0415 - of the extra `audit`

    try:
        audited = audit_account(
            lambda service, region: connect(service, region_name=region),
            scopes(arguments.queue, arguments.region),
        )
    except (BotoCoreError, ClientError) as error:
        return _complain(f"the account could not be read in full, so nothing is said of it: {error}", EXIT_UNREADABLE)
    if arguments.json:
        _say(json.dumps(as_document(audited), indent=2))
    elif arguments.sarif:
        _say(json.dumps(as_sarif(audited, location=arguments.sarif_location), indent=2))
    else:
        for line in lines(audited):
            _say(line)
    return EXIT_FOUND if any(item.finding for item in audited) else 0


def _say(text: str) -> int:
    sys.stdout.write(f"{text}\n")
    return 0


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"one-consumer: {text}\n")
    return code
