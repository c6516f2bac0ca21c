"""How much memory a merge takes, in processes of their own: this one started fresh, its check, nothing else.

A page that several of these processes have is counted once, as the kernel does where it limits them: the check's child
is imported once and forks. ``python -m benchmarks.compaction.memory`` is the process that merges: a world as JSON in,
resident bytes as JSON out.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compaction.world import REPOSITORY, World
from pipeline.contracts.messages import RunReference

LOOK_SECONDS = 0.02
KILOBYTE = 1024


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident bytes.

    Attributes:
        rows: in the collection before the merge.
        started: with everything imported and nothing open.
        opened: the working copy restored and open; Chroma reads the index when it is first used.
        peak: of the merging process, VmHWM of /proc/self/status.
        peak_with_check: of it and the processes that check the copy, at one moment, each page counted once; looked at
            50 times a second.
    """

    rows: int
    started: int
    opened: int
    peak: int
    peak_with_check: int


def measure_memory(world: World, references: Sequence[RunReference], removal: RunReference | None = None) -> Memory:
    """Merge and publish in a fresh process and watch it.

    Args:
        world: whose published version is merged into.
        references: runs that add rows.
        removal: a run that removes a receipt, merged after them: the index is built again without its texts.
    """
    rows = world.pointer.count
    job = {
        "world": {
            "directory": str(world.directory),
            "name": world.name,
            "dynamodb_endpoint": world.dynamodb_endpoint,
            "s3_endpoint": world.s3_endpoint,
            "dimensions": world.dimensions,
            "collection": world.collection,
        },
        "references": [reference.model_dump(mode="json") for reference in references],
        "removal": None if removal is None else removal.model_dump(mode="json"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.compaction.memory"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    try:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        together = 0
        while process.poll() is None:
            together = max(together, resident(process.pid))
            time.sleep(LOOK_SECONDS)
        assert process.stdout is not None  # noqa: S101 - for the type checker
        output = process.stdout.read()
        process.stdout.close()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the merge whose memory is measured ended with {process.returncode}")
    found = json.loads(output)
    return Memory(rows=rows, **found, peak_with_check=max(together, found["peak"]))


def family(process_id: int) -> Iterator[int]:
    """A process and what it started, and so on."""
    yield process_id
    for path in Path(f"/proc/{process_id}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def arguments(process_id: int) -> list[str]:
    """What a process was started with; nothing when it has ended."""
    try:
        return Path(f"/proc/{process_id}/cmdline").read_text().split("\0")
    except OSError:
        return []


def resident(process_id: int) -> int:
    """Bytes that a process and what it started have resident together.

    A page that ``n`` processes have counts a ``n``-th in each of them (Pss of proc_pid_smaps_rollup, man 5 proc).
    """
    return sum(_field(Path(f"/proc/{one}/smaps_rollup"), "Pss") for one in family(process_id))


def status(process_id: int | str, name: str) -> int:
    """A field of /proc/<id>/status in bytes; 0 when the process has ended."""
    return _field(Path(f"/proc/{process_id}/status"), name)


def _field(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * KILOBYTE for line in lines if line.startswith(f"{name}:")), 0)


def main() -> None:
    """The child: open, merge, publish, and say what it took."""
    import chromadb  # noqa: F401, PLC0415 - it belongs to what is started

    job: dict[str, Any] = json.loads(sys.stdin.read())
    world = World(**job["world"] | {"directory": Path(job["world"]["directory"])})
    references = [RunReference.model_validate(reference) for reference in job["references"]]
    merger = world.merger()
    try:
        started = status("self", "VmRSS")
        merger.merge([])
        opened = status("self", "VmRSS")
        merger.merge(references)
        if job["removal"] is not None:
            merger.merge([RunReference.model_validate(job["removal"])])
        peak = status("self", "VmHWM")
    finally:
        merger.close()
    world.require_completed(references)
    sys.stdout.write(json.dumps({"started": started, "opened": opened, "peak": peak}))


if __name__ == "__main__":
    main()
