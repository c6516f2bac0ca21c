"""The process that checks a closed copy, and the one that asks it. What makes a copy sound is in ``soundness.py``.

A broken Chroma directory may crash the process that opens it, and opening is a write; the merge does neither to what it
publishes. The child is started early and kept, because importing Chroma takes longer than a check; for each copy it
forks, so that a crash is a verdict and the next copy meets a process that has opened nothing. The fork takes its memory
while the merge still writes: to get new memory from the kernel, and on a virtual machine from its host, takes longer
than to read an index into it (measured). The child and its forks end with the parent, because their input ends then.
``python -m compaction_handler.checking`` is the child.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from compaction_handler.soundness import Inspection, Verdict, judge_where_there_is_room, require_sound, unsound

CHECK_SECONDS, CHECK_SECONDS_A_TEXT = 300.0, 0.01
"""To ask all of 300,000 texts of 256 dimensions took 130 seconds of a processor (docs/facts.md)."""
HELD_SHARE = 0.25
"""Of the memory that is available, what a fork may take before it is needed; the merge goes on growing meanwhile."""
CHILD_VARIABLES = {
    # It forks, and threads do not survive that; its numbers are too few to need any.
    "OPENBLAS_NUM_THREADS": "1",
    # What a fork has taken and freed again is what Chroma gets in it (man mallopt; other libraries ignore this).
    "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776:glibc.malloc.arena_max=1",
}


class ChildCheck:
    """A child that judges one copy after the other, until one is rejected."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "compaction_handler.checking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parent.parent,
            env=os.environ | CHILD_VARIABLES,
            start_new_session=True,
        )
        self._expects = False

    @property
    def process_id(self) -> int:
        """The child's."""
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it can judge a copy: a child that says something without being asked has lost its fork."""
        answers = select.poll()
        if self._process.poll() is not None or self._process.stdout is None:
            return False
        answers.register(self._process.stdout, select.POLLIN)
        return not answers.poll(0)

    def expect(self, size: int) -> None:
        """Have a fork wait for the next copy, of about so many bytes; at most one waits."""
        if not self._expects:
            self._expects = True
            # A child that is gone is heard of when it is asked.
            with suppress(BrokenPipeError):
                self._write({"size": size})

    def run(self, inspection: Inspection) -> tuple[int, ...]:
        """Inspect.

        Returns:
            The positions of the texts that the index misses.

        Raises:
            RetryableError: SNAPSHOT_UNSOUND when something is wrong, or the child broke over it; SNAPSHOT_RECALL when
                the index misses too many texts and a stronger one may not; STORAGE_FULL.
        """
        answers = self._process.stdout
        if answers is None:
            raise ValueError("the child has pipes")
        self.expect(0)
        seconds = CHECK_SECONDS + CHECK_SECONDS_A_TEXT * inspection.texts
        too_long = threading.Timer(seconds, self._kill)
        too_long.start()
        try:
            self._expects = False
            self._write(asdict(inspection))
            answer = answers.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            too_long.cancel()
        if not answer.endswith(b"\n"):
            self.close()
            raise unsound(inspection, f"the check did not answer in {seconds:.0f} seconds, or its child is gone")
        said = json.loads(answer)
        verdict = Verdict(
            faults=tuple(said["faults"]),
            losses=tuple(said["losses"]),
            missed=tuple(said["missed"]),
            no_room=said["no_room"],
        )
        if verdict.faults:
            # A fork that broke may have left the next line unread.
            self.close()
        require_sound(inspection, verdict)
        return verdict.missed

    def close(self) -> None:
        """End the child and what it forked."""
        self._kill()
        self._process.communicate()

    def _write(self, request: Mapping[str, object]) -> None:
        requests = self._process.stdin
        if requests is None:
            raise ValueError("the child has pipes")
        requests.write(json.dumps(request).encode() + b"\n")
        requests.flush()

    def _kill(self) -> None:
        # Its group, which it leads: a fork that hangs would keep the pipe open.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def main() -> None:
    """The child, until its input ends: a copy's size and then its inspection in, a list of faults out.

    Each is a line of JSON. The child reads the size, its fork the inspection.
    """
    import chromadb  # noqa: F401, PLC0415 - while the merge still writes

    # Without a buffer: what follows the size is for the fork.
    with os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as requests:
        while request := requests.readline():
            if (forked := os.fork()) == 0:
                _answer(request)
            _, status = os.waitpid(forked, 0)
            if status:
                _write(Verdict(faults=(f"the check ended with {os.waitstatus_to_exitcode(status)}",)))


def _answer(request: bytes) -> None:
    """What a fork does; it never returns."""
    try:
        _take(json.loads(request)["size"])
        if inspection := sys.stdin.buffer.readline():
            _write(judge_where_there_is_room(Inspection(**json.loads(inspection))))
    except BaseException:  # noqa: BLE001 - a fork never runs on into its parent's code
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _take(size: int) -> None:
    """Touch so much memory, or what can be spared, and leave it to the allocator."""
    with suppress(OSError, MemoryError):
        taken = b"\1" * affordable(size, Path("/proc/meminfo").read_text())
        del taken


def affordable(size: int, memory: str) -> int:
    """Bytes that may be taken ahead.

    Args:
        size: bytes that are wanted.
        memory: /proc/meminfo; 0 when it does not say what is available.
    """
    available = next((line.split()[1] for line in memory.splitlines() if line.startswith("MemAvailable:")), "0")
    return min(size, int(HELD_SHARE * int(available) * 1024))


def _write(verdict: Verdict) -> None:
    os.write(sys.stdout.fileno(), json.dumps(asdict(verdict)).encode() + b"\n")


if __name__ == "__main__":
    main()
