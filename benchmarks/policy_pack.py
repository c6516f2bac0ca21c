"""The policy pack's CPU over large stacks, beside that of an older commit in the same run.

    python -m benchmarks.policy_pack [--before COMMIT] [--repeats 3]

A stack is this program's, as often as it takes, each copy with names of its own. Each pack is a fresh process, started
and spoken to as Pulumi's engine does it, and what is counted is the CPU of that process: from its start until it
listens, and from there until its answer. Exit code 1 when a target is missed.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf import json_format
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from benchmarks.builds.checkout import REPOSITORY, export_commit
from tests.policy.recorded import messages_of
from tests.program.engine import run_program

BEFORE = "115b985"
SMALL, LARGE = 1200, 5000
SHARE_OF_BEFORE, GROWTH = 0.5, 4.0
MESSAGE_BYTES = 400 * 1024 * 1024
SECONDS = 600
NAMED = ("name", "family", "bucket", "id")
SHORTEST_NAME = 5
"""A shorter name, such as ``*``, may be a word of a policy."""


@dataclass(frozen=True)
class Cpu:
    """Seconds of CPU of one pack, to its start and for its answer."""

    start: float
    answer: float

    @property
    def whole(self) -> float:
        """From nothing to the answer."""
        return self.start + self.answer


def stack_of(count: int) -> analyzer_pb2.AnalyzeStackRequest:
    """A stack of so many resources, as the engine shows it after an update."""
    messages = [json_format.MessageToDict(message) for message in messages_of(run_program({}))]
    values = [message["name"] for message in messages]
    values += [message.get("properties", {}).get(key) for message in messages for key in NAMED]
    names: set[str] = {value for value in values if isinstance(value, str)}
    longest_first = sorted((name for name in names if len(name) >= SHORTEST_NAME), key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, longest_first))})(?![\w-])")
    texts = list(map(json.dumps, messages))
    stack = analyzer_pb2.AnalyzeStackRequest()
    for index in range(count):
        copy, place = divmod(index, len(texts))
        text = pattern.sub(lambda found: _renamed(found[1], copy), texts[place])  # noqa: B023 - used at once
        json_format.ParseDict(json.loads(text), stack.resources.add())
    return stack


def _renamed(name: str, copy: int) -> str:
    kind = ".fifo" if name.endswith(".fifo") else ""
    return f"{name.removesuffix(kind)}-{copy}{kind}"


@contextmanager
def running(project: Path) -> Iterator[tuple[analyzer_pb2_grpc.AnalyzerStub, int]]:
    """A project's pack as a process, and the process's id."""
    folder = project / "policy"
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:9", "."]
    if not folder.is_dir():
        # Python looks in the folder it is started in first, so it is that commit's pack that is served.
        folder = project
        command = [sys.executable, "-u", "-c", "from one_consumer.pack.server import serve; serve()"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        try:
            port = int(process.stdout.readline()) if process.stdout else 0
            options = [("grpc.max_send_message_length", MESSAGE_BYTES)]
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
                yield analyzer_pb2_grpc.AnalyzerStub(channel), process.pid
        finally:
            process.terminate()


def measured(project: Path, stack: analyzer_pb2.AnalyzeStackRequest) -> Cpu:
    """What one pack takes for one stack."""
    with running(project) as (pack, pid):
        start = cpu_seconds(pid)
        found = pack.AnalyzeStack(stack, timeout=SECONDS).diagnostics
        answer = cpu_seconds(pid) - start
    if found:
        raise RuntimeError(f"the stack is a good one, but the pack of {project} says: {found[0].message}")
    return Cpu(start, answer)


def cpu_seconds(pid: int) -> float:
    """The CPU that a process's threads have used so far; Linux counts it in nanoseconds for each of them."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def main() -> int:
    """Measure, print, and say by the exit code whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default=BEFORE, help="the commit to compare with")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    stacks = {count: stack_of(count) for count in (SMALL, LARGE)}
    with tempfile.TemporaryDirectory() as directory:
        before = export_commit(arguments.before, Path(directory) / "before")
        # One after the other in each round, so that a busy minute of the machine falls on all of them.
        rounds = [
            (measured(before, stacks[SMALL]), measured(REPOSITORY, stacks[SMALL]), measured(REPOSITORY, stacks[LARGE]))
            for _ in range(arguments.repeats)
        ]
    old, small, large = (min(cpus, key=lambda cpu: cpu.answer) for cpus in zip(*rounds, strict=True))
    for label, cpu in ((f"{arguments.before}, {SMALL}", old), (f"now, {SMALL}", small), (f"now, {LARGE}", large)):
        print(f"{label:>16} resources: start {cpu.start:.2f} s, answer {cpu.answer:.2f} s of CPU")
    share, growth = small.answer / old.answer, large.whole / small.whole
    print(f"answer, {SMALL} resources, of {arguments.before}: {share:.2f} (target {SHARE_OF_BEFORE})")
    print(f"start and answer, {LARGE} resources, of {SMALL}: {growth:.2f} (target {GROWTH})")
    print(f"answer alone, {LARGE} resources, of {SMALL}: {large.answer / small.answer:.2f} (in proportion: 4.17)")
    return 0 if share <= SHARE_OF_BEFORE and growth <= GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
