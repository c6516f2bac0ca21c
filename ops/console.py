"""How results are shown: tables and progress bars for people, one JSON document on standard output for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.auditing import AuditedQueue
from ops.local.engine import Step
from ops.reconciling.looking import Reconciliation
from ops.reporting import StackStatus
from ops.searching import SearchResult
from ops.switching.checks import Check, CheckState
from pipeline.consumers.observation import Standing


class Output:
    """Where a command writes. With ``as_json`` standard output carries JSON alone and people's text is left out."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False, quiet=as_json)

    def say(self, text: str) -> None:
        """A line for people."""
        self.console.print(text, soft_wrap=True)

    def heading(self, text: str) -> None:
        """A step's headline."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def steps(self, steps: Iterable[Step]) -> None:
        """What an update did, in order; what it left alone is left out."""
        for step in steps:
            if step.operation != "same":
                colour = "cyan" if step.operation == "hook" else "yellow"
                self.say(f"  [{colour}]{step.operation}[/{colour}] {step.type} {step.name}  {step.summary}")

    def document(self, value: object) -> None:
        """The result for programs; nothing when people read."""
        if self.as_json:
            json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=str)
            sys.stdout.write("\n")

    @contextmanager
    def progress(self, description: str, total: int) -> Iterator["ProgressBar"]:
        """A progress bar for long work."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            yield ProgressBar(progress, progress.add_task(description, total=total))

    def search_result(self, text: str, result: SearchResult) -> None:
        """A table of matches."""
        table = Table(title=f"{text!r} in version {result.version} ({result.count} vectors)", title_justify="left")
        for column in ("distance", "text", "merchant", "image", "receipt"):
            table.add_column(column)
        for match in result.matches:
            table.add_row(
                f"{abs(match['distance']):.3f}",
                str(match["text"]),
                str(match.get("merchant_name", "-")),
                str(match["image_id"])[:8],
                str(match["receipt_id"]),
            )
        self.console.print(table)

    def audit(self, audited: Sequence[AuditedQueue]) -> None:
        """A line a consumer, and what is wrong."""
        colours = {Standing.ON: "green", Standing.DRAINING: "yellow", Standing.OFF: "dim"}
        for item in audited:
            label = item.expected.label
            for live in item.consumers:
                standing = f"[{colours[live.standing]}]{live.standing}[/]"
                self.say(f"  {label}: {live.kind} {live.name} is {standing} ({live.why})")
            if not item.consumers:
                self.say(f"  [dim]{label}: nobody[/dim]")
            if item.finding:
                self.say(f"  {label}: [red]{item.finding}[/red], expected {item.expected.consumer or 'nobody'}")

    @contextmanager
    def live_checks(self) -> Iterator[Callable[[list[Check]], None]]:
        """A table that is drawn anew at every look; where nobody watches, a line when a check is decided."""
        told: set[str] = set()
        with Live(console=self.console, auto_refresh=False) as live:

            def show(checks: list[Check]) -> None:
                if self.console.is_terminal:
                    live.update(_checks(checks), refresh=True)
                    return
                for check in checks:
                    if check.state is not CheckState.WAITING and check.title not in told:
                        told.add(check.title)
                        self.say(f"  {check.state}: {check.title} ({check.detail})")

            yield show

    def reconciliations(self, found: Sequence[Reconciliation]) -> None:
        """A line a collection and a line a finding."""
        for item in found:
            version = item.version or "no version yet"
            self.say(
                f"{item.collection}: {item.rows} vectors in {version}, {len(item.runs)} runs, {item.deltas} deltas"
            )
            for finding in item.findings:
                receipt = finding.receipt
                where = f" receipt {receipt.receipt_id} of image {receipt.image_id}" if receipt else ""
                run = f" run {finding.run_id}" if finding.run_id else ""
                mended = f"; repair: {finding.repair}" if finding.repair else ""
                way_out = f"; {finding.way_out}" if finding.way_out else ""
                detail = escape(f"{where}{run}: {finding.detail}{mended}{way_out}")
                self.say(f"  [red]{finding.difference}[/red]{detail}")
            if not item.findings:
                self.say("  [green]nothing differs[/green]")

    def status(self, status: StackStatus) -> None:
        """The tables of ``receipts status``."""
        consumer = status["consumer"]
        self.say(
            f"consumer: [bold]{consumer['chosen']}[/bold]  (Lambda mapping {consumer['mapping_state']}, "
            f"ECS desired {consumer['desired_count']}, running {consumer['running_count']})"
        )
        table = Table("queue", "visible", "in flight")
        for queue in status["queues"]:
            table.add_row(queue["name"], str(queue["visible"]), str(queue["in_flight"]))
        self.console.print(table)
        self.say(f"receipts embedded, by consumer: {_counts(status['runs_by_consumer'])}")
        self.say(f"runs, by state: {_counts(status['runs_by_state'])}")
        self.say(f"merchants, by source: {_counts(status['merchants'])}")
        versions = (f"{name} {version or 'nothing yet'}" for name, version in status["snapshots"].items())
        self.say(f"published versions: {', '.join(versions)}")


class ProgressBar:
    """One bar of a running display."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def set(self, completed: int, total: int | None = None) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=completed, total=total)


def _checks(checks: list[Check]) -> Table:
    colours = {CheckState.PASSED: "green", CheckState.FAILED: "red", CheckState.WAITING: "yellow"}
    table = Table("check", "state", "seen")
    for check in checks:
        table.add_row(check.title, f"[{colours[check.state]}]{check.state}[/]", check.detail)
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or "none yet"


def as_documents(items: Any) -> list[dict[str, Any]]:
    """Pydantic models as plain JSON values."""
    return [item.model_dump(mode="json") for item in items]
