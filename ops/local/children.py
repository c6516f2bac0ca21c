"""Child processes that cannot outlive their parent, however it ends.

The kernel ties such a child to the thread that started it, so one thread that lasts starts them all.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""prctl(2), Linux only."""


def end_with_parent(parent_id: int, number: int = signal.SIGKILL) -> Callable[[], None] | None:
    """What a child does before it becomes its program, so that the kernel ends it with its parent.

    Returns:
        None where the kernel has no such call; there a killed supervisor leaves its children running.
    """
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)

    def before_program() -> None:
        library.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent_id:
            # The parent died between the fork and the call.
            os._exit(1)

    return before_program


def start_process(
    command: Sequence[str], environment: Mapping[str, str], *, directory: Path, log_file: Path
) -> subprocess.Popen[bytes]:
    """Start a child that ends with this process, its output appended to ``log_file``."""

    def start() -> subprocess.Popen[bytes]:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the stack's own command; only prctl runs before it
                list(command),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent(os.getpid()),  # noqa: PLW1509 - only prctl runs in it
            )

    return _starter().submit(start).result()


@cache
def _starter() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="starts-children")
