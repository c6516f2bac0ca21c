"""``python -m benchmarks.starting CHECKOUT``: CPU until something is done, of this checkout beside another one.

Measured are whole processes, user and system time with that of their children: ``receipts --help``; with ``--stacks``
``receipts status``, for which the local stack of each checkout must be up, with the same receipts; and the program's
evaluation as an unchanged ``pulumi preview`` has it, without the CLI and the providers, which are the same for both.
Each checkout is run by its own ``.venv``, made by its own Makefile. Each figure is there twice: as the checkout was
installed, and with the bytecode of everything cached, as after a first run where Python may write it. Times are no
test; what is imported is pinned in ``tests/test_imports.py``.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

HERE = Path(__file__).resolve().parent.parent
EVALUATION = "from tests.program.engine import run_program; run_program({'embedder': 'openai'}, preview=True)"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What is run in both checkouts.

    Attributes:
        command: its first word is a program of the checkout's virtual environment.
        wanted: the largest ratio to the other checkout, as it was installed.
        needs_stack: whether it asks the running local stack of its checkout.
    """

    name: str
    command: Sequence[str]
    wanted: float
    needs_stack: bool = False


FIGURES = (
    Figure(name="receipts --help", command=("receipts", "--help"), wanted=0.35),
    Figure(name="receipts status", command=("receipts", "status"), wanted=0.5, needs_stack=True),
    Figure(name="the program, unchanged preview", command=("python", "-c", EVALUATION), wanted=0.6),
)


def cpu_seconds(checkout: Path, command: Sequence[str], environment: Mapping[str, str]) -> float:
    """User and system seconds of one process and its children.

    Raises:
        RuntimeError: it failed.
    """
    process = subprocess.Popen(
        [str(checkout / ".venv" / "bin" / command[0]), *command[1:]],
        cwd=checkout,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{checkout}: {' '.join(command)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Measure and print; 1 when a ratio of the checkouts as they were installed is larger than wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starting", description="CPU before anything is done.")
    parser.add_argument("checkout", type=Path, help="another checkout, in which `make .venv/.installed` was run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stacks", action="store_true", help="the local stacks of both are up: ask them, too")
    arguments = parser.parse_args()
    console = Console()
    table = Table(
        "figure", "bytecode", "ratio", "wanted", "CPU seconds", title="ratios of this run", title_justify="left"
    )
    missed = False
    with tempfile.TemporaryDirectory() as cache:
        cached = {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        for figure in (item for item in FIGURES if arguments.stacks or not item.needs_stack):
            for kind, environment in (("as installed", {"PYTHONDONTWRITEBYTECODE": "1"}), ("all cached", cached)):
                seconds: dict[Path, list[float]] = {HERE: [], arguments.checkout.resolve(): []}
                for number in track(range(arguments.rounds + 1), description=f"{figure.name}, {kind}", console=console):
                    for checkout, measured in seconds.items():
                        used = cpu_seconds(checkout, figure.command, environment)
                        if number:  # The first round fills the cache, and the machine's own.
                            measured.append(used)
                own, other = (statistics.median(measured) for measured in seconds.values())
                ratio = own / other
                judged = kind == "as installed"
                missed |= judged and ratio > figure.wanted
                wanted = f"{figure.wanted}" if judged else ""
                table.add_row(figure.name, kind, f"{ratio:.2f}", wanted, f"{own:.2f} / {other:.2f}")
    console.print(table)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
