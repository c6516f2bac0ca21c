"""Child processes that cannot outlive their parent, however it ends."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
"""prctl(2), Linux only."""


def end_with_parent(parent_id: int, number: int = signal.SIGKILL) -> Callable[[], None] | None:
    """What a child does before it becomes its program, so that the kernel ends it with its parent.

    Returns:
        None where the kernel has no such call; there a killed supervisor leaves its children to ``receipts local down``.
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
