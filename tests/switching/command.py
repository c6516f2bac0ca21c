"""The real ``receipts`` command as a process of its own, for a stack in any directory: ``python -m ... DIRECTORY ...``.

Tests kill it. Only where the stack is differs from what an operator runs.
"""

import subprocess
import sys
from pathlib import Path

from ops import cli
from ops.commands import options
from ops.local.stack import LocalStack
from ops.stacks.local import LocalSwitchable, local_target
from ops.target import Target

REPOSITORY = Path(__file__).resolve().parents[2]


def start(stack: LocalStack, *arguments: str) -> subprocess.Popen[str]:
    """Start ``receipts ARGUMENTS``; both outputs are one pipe, unbuffered, so that a test can act on a line."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", __name__, str(stack.state_directory), *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main() -> None:
    """Run the command."""
    directory = Path(sys.argv[1])
    sys.argv = ["receipts", *sys.argv[2:]]

    def connect(stack_name: str) -> Target:
        return local_target(LocalStack(directory))

    def switchable(stack_name: str) -> LocalSwitchable:
        return LocalSwitchable(LocalStack(directory))

    options.connect, options.switchable = connect, switchable
    cli.main()


if __name__ == "__main__":
    main()
