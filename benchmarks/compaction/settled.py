"""The machine as it is when it has run for a while: its free memory is its own. Nothing is measured here.

A virtual machine gets memory from its host when it touches it for the first time, and may give it back when it is
free. Touching a new page then costs five times what it costs else (measured here: 3.0 against 0.6 s a GB), and only who
needs memory pays: a publication does, Chroma's insertion hardly. So before each measurement a process takes the memory
that a publication will need, and ends; the kernel hands that out first.
"""

import mmap
import subprocess
import sys
from pathlib import Path

PIECE_BYTES = 1024 * 1024
SHARE = 0.5
"""Of the memory that is available, at most."""


def settle_memory(wanted: int) -> None:
    """Have the machine hold so many bytes of free memory."""
    process = [sys.executable, "-m", "benchmarks.compaction.settled", str(min(wanted, int(SHARE * _available())))]
    subprocess.run(process, check=True, cwd=Path(__file__).resolve().parents[2])


def _available() -> int:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def main() -> None:
    """Touch as many bytes as the argument says."""
    size = int(sys.argv[1]) // PIECE_BYTES * PIECE_BYTES
    if not size:
        return
    piece = b"\1" * PIECE_BYTES
    with mmap.mmap(-1, size) as memory:
        for start in range(0, size, PIECE_BYTES):
            memory[start : start + PIECE_BYTES] = piece


if __name__ == "__main__":
    main()
