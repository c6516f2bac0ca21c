"""How results are shown: tables and progress bars for people, one JSON document on standard output for programs.

Text is shown literally: Rich reads no markup and no emoji codes in it, and what a terminal would act on is written out
(``visible.py``). Only this module styles anything, which is why it is longer than most.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.visible import visible, visible_json, visible_lines

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    # What is shown is made by other modules, which import Chroma, Pulumi and AWS's clients: showing needs none of it.
    from one_consumer.audit.judgement import AuditedQueue
    from ops.doctor.judging import Finding
    from ops.local.engines.steps import Step
    from ops.logs.lines import LogLine
    from ops.reconciling.looking import Reconciliation
    from ops.reporting import StackStatus
    from ops.searching import SearchResult
    from ops.showing import ReceiptDetails
    from ops.switching.checks import Check

PIPE_WIDTH = 1_000
"""Columns where nobody's terminal limits them: a table into a pipe keeps each match on one line."""
CELL_WIDTH = 200
"""Columns of a text in a table; a longer one continues below and loses nothing."""
FIXED_WIDTH = 43
"""Columns that a table of matches needs beside image, merchant and text: three short fields and the borders."""
READABLE_WIDTH = 28
"""Columns that merchant and text together must have in a table; in a narrower terminal a match is shown as lines."""


SHOWN_RECEIPTS = 3
"""Of a dead letter that is about many."""


class _GoingOn(Console):
    """A console that goes quiet when its reader has gone, such as ``head -1``, where Rich's own ends the process."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Output:
    """Where a command writes. With ``as_json`` standard output carries JSON alone and people's text is left out.

    Args:
        as_json: for programs.
        goes_on: the command changes something, and ends what it has begun although nobody reads what it says.
    """

    has_written = False
    """Whether this process has written its document: standard output never holds two."""

    def __init__(self, *, as_json: bool, goes_on: bool = False) -> None:
        self.as_json = as_json
        kind = _GoingOn if goes_on else Console
        self.console = kind(stderr=as_json, highlight=False, quiet=as_json, markup=False, emoji=False)
        if not self.console.is_terminal and "COLUMNS" not in os.environ:
            self.console.width = PIPE_WIDTH

    def say(self, *parts: str | Text) -> None:
        """A line for people, of plain and of styled parts; a line break in a part is written out."""
        line = Text()
        for part in parts:
            line.append(visible(part) if isinstance(part, str) else part)
        self.console.print(line, soft_wrap=True)

    def say_lines(self, label: Text, text: str) -> None:
        """An error or other programs' output, which may have several lines; no further line looks like one of ours."""
        self.console.print(Text().append(label).append(f" {visible_lines(text)}"), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A plain table."""
        table = _table(columns)
        for row in rows:
            table.add_row(*map(_cell, row))
        self.console.print(table)

    def heading(self, text: str) -> None:
        """A step's headline."""
        self.console.print()
        self.say(styled(text, "bold"))

    def steps(self, steps: "Iterable[Step]") -> None:
        """What an update did, in order; what it left alone is left out."""
        for step in steps:
            if step.operation != "same":
                colour = "cyan" if step.operation == "hook" else "yellow"
                self.say("  ", styled(step.operation, colour), f" {step.type} {step.name}  {step.summary}")

    def document(self, value: object) -> None:
        """The result for programs; nothing when people read."""
        if self.as_json:
            Output.has_written = True
            content = json.dumps(value, ensure_ascii=False, indent=2, default=str)
            sys.stdout.write(visible_json(content) + "\n")

    def line(self, value: object) -> None:
        """One JSON document in a line, for programs that read while a command goes on."""
        sys.stdout.write(visible_json(json.dumps(value, ensure_ascii=False, default=str)) + "\n")
        sys.stdout.flush()

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator["ProgressBar"]:
        """A progress bar for long work."""
        # Imported here because most commands show none.
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        # Into a pipe a bar is written when its work has ended; one that stopped half way would say nothing.
        piped = not self.console.is_terminal
        with Progress(*columns, console=self.console, disable=piped) as progress:
            yield ProgressBar(progress, progress.add_task(visible(description), total=total), description)
        if piped:
            self.console.print(progress.get_renderable())

    def search_result(self, text: str, result: "SearchResult") -> None:
        """A table of matches, the best first."""
        self.say(f"{text!r} in {result.collection}, version {result.version} ({result.count} rows)")
        if not result.matches:
            nearest = "" if result.mode == "text" else "; --max-distance 2 shows the nearest, whatever they are"
            self.say(f"nothing matches{nearest}")
            return
        image_width = max(len(match["image"]) for match in result.matches)
        if self.console.width - FIXED_WIDTH - image_width >= READABLE_WIDTH:
            self.console.print(_matches(result.matches))
            return
        for match in result.matches:
            self.say(styled(f"{_number(match['distance']):>5}", "bold"), f"  {match['text']}")
            self.say(f"       {match.get('merchant_name', '-')}")
            self.say(f"       {match['image']} {match['receipt_id']}, {_place_name(match)} {_place(match)}")

    def receipt(self, details: "ReceiptDetails") -> None:
        """One receipt: what is published of it, its rows, and its runs."""
        self.say(styled(f"receipt {details['receipt_id']} of image {details['image_id']}", "bold"))
        version = details["version"]
        self.say(f"published: {f'in version {version} of lines' if version else 'no'}")
        if version:
            self.say(f"merchant: {details['merchant_name'] or '-'} ({details['merchant_source']})")
            self.say(f"run: {details['run_id']}, embedded by {details['embedding_model']}")
        for name in ("lines", "words"):
            rows = details[name]
            if rows:
                table = _table((_place_name(rows[0]), "text", "confidence"))
                for row in rows:
                    table.add_row(_cell(_place(row)), _cell(row["text"]), _cell(_number(row.get("confidence"))))
                self.console.print(table)
            elif rows is not None:
                self.say(f"{name}: none published")
        for run in details["runs"]:
            self.say(
                f"operation {run['operation']}: {run['kind']} by {run['consumer']}, {run['created_at']}, "
                f"run {run['run_id']}: lines {run['lines']}, words {run['words']}"
            )
            for error in run["errors"]:
                self.say("  ", styled(error, "red"))

    def audit(self, audited: "Sequence[AuditedQueue]") -> None:
        """A line a consumer, and what is wrong."""
        colours = {"on": "green", "draining": "yellow", "off": "dim"}
        for item in audited:
            label = item.expected.label
            for live in item.consumers:
                standing = styled(live.standing, colours[live.standing])
                self.say(f"  {label}: {live.kind} {live.name} is ", standing, f" ({live.why})")
            if not item.consumers:
                self.say("  ", styled(f"{label}: nobody", "dim"))
            if item.finding:
                expected = item.expected.consumer or "nobody"
                self.say(f"  {label}: ", styled(item.finding, "red"), f", expected {expected}")

    @contextmanager
    def live_checks(self) -> "Iterator[Callable[[list[Check]], None]]":
        """A table that is drawn anew at every look; where nobody watches, a line when a check is decided."""
        from rich.live import Live  # noqa: PLC0415 - only a switch shows these

        told: set[str] = set()
        with Live(console=self.console, auto_refresh=False) as live:

            def show(checks: "list[Check]") -> None:
                if self.console.is_terminal:
                    live.update(_checks(checks), refresh=True)
                    return
                for check in checks:
                    if check.state != "waiting" and check.title not in told:
                        told.add(check.title)
                        self.say(f"  {check.state}: {check.title} ({check.detail})")

            yield show

    def reconciliations(self, found: "Sequence[Reconciliation]") -> None:
        """A line a collection and a line a finding."""
        for item in found:
            version = item.version or "no version yet"
            self.say(
                f"{item.collection}: {item.rows} vectors in {version}, {len(item.runs)} runs "
                f"({item.superseded} of them superseded by later events), {item.deltas} deltas"
            )
            for finding in item.findings:
                receipt = finding.receipt
                where = f" receipt {receipt.receipt_id} of image {receipt.image_id}" if receipt else ""
                run = f" run {finding.run_id}" if finding.run_id else ""
                mended = f"; repair: {finding.repair}" if finding.repair else ""
                way_out = f"; {finding.way_out}" if finding.way_out else ""
                detail = f"{where}{run}: {finding.detail}{mended}{way_out}"
                self.say("  ", styled(finding.difference, "red"), detail)
            if not item.findings:
                self.say("  ", styled("nothing differs", "green"))

    def status(self, status: "StackStatus") -> None:
        """The tables of ``receipts status``."""
        consumer = status["consumer"]
        self.say(
            "consumer: ",
            styled(consumer["chosen"], "bold"),
            f"  (Lambda mapping {consumer['mapping_state']}, ECS desired {consumer['desired_count']}, "
            f"running {consumer['running_count']})",
        )
        table = Table("queue", "visible", "in flight")
        for queue in status["queues"]:
            table.add_row(_cell(queue["name"]), str(queue["visible"]), str(queue["in_flight"]))
        self.console.print(table)
        self.say(f"receipts embedded, by consumer: {_counts(status['runs_by_consumer'])}")
        self.say(f"runs, by state: {_counts(status['runs_by_state'])}")
        self.say(f"receipts, by source of the merchant: {_counts(status['merchants'])}")
        versions = (f"{name} {version or 'nothing yet'}" for name, version in status["snapshots"].items())
        self.say(f"published versions: {', '.join(versions)}")

    def processes(self, status: Mapping[str, Any]) -> None:
        """A line for each process of the stack on this machine."""
        if not status["running"]:
            self.say("the stack is not up; `receipts local up` starts it")
            self.say(f"state: {status['state']}")
            return
        emulator = status["emulator"]
        ended = "has ended; `receipts doctor` says what to do"
        self.say(f"emulator: {emulator['endpoint']}, {_process_name(emulator['process'], ended)}")
        for name, process in status["functions"].items():
            self.say(f"function {name}: {_process_name(process, 'no process until its next event')}")
        for name, workers in status["services"].items():
            told = ", ".join(_process_name(process, "") for process in workers)
            self.say(f"service {name}: {told or 'no worker'}")
        self.say(f"state: {status['state']}")
        self.say(f"logs: {status['logs']}")

    def dead_letters(self, letters: Sequence[Mapping[str, Any]], unseen: Mapping[str, int]) -> None:
        """Two lines a dead letter, and how many could not be looked at."""
        for letter in letters:
            receipts = ", ".join(_receipt_name(item) for item in letter["receipts"][:SHOWN_RECEIPTS])
            more = len(letter["receipts"]) - SHOWN_RECEIPTS
            about = f"{receipts}{f' and {more} more' if more > 0 else ''}" or "no receipt that it names"
            code = styled(letter["code"] or "MOVED_BY_SQS", "red")
            self.say(
                styled(letter["queue"], "bold"), f" {letter['message_id']}  {age(letter['age_seconds'])} old  ", code
            )
            self.say(f"    {about}: {letter['reason']}")
        if not letters and not unseen:
            self.say("no dead letters")
        for queue, count in unseen.items():
            self.say(f"{queue}: {count} more, hidden by somebody else's look or behind these in their group")

    def log_line(self, line: "LogLine") -> None:
        """A line of a log; with ``as_json`` an object on a line of its own, since nobody knows which is the last."""
        at = line.at.isoformat(timespec="milliseconds") if line.at else None
        if self.as_json:
            Output.has_written = True
            document = {"at": at, "host": line.host, "level": line.level, "message": line.message, **line.fields}
            sys.stdout.write(visible_json(json.dumps(document, ensure_ascii=False, default=str)) + "\n")
            sys.stdout.flush()
            return
        colour = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow"}.get(line.level, "")
        fields = "".join(f"  {name}={value}" for name, value in line.fields.items())
        self.say_lines(
            Text().append_text(styled(f"{at or '-'} {line.host} ", "dim")).append_text(styled(line.level, colour)),
            f"{line.message}{fields}",
        )

    def examination(self, found: "Sequence[Finding]") -> None:
        """What a doctor found, a line each, and its way out below it."""
        colours = {"ok": "green", "note": "cyan", "warning": "yellow", "fault": "red"}
        for item in found:
            code = f"{item.code}: " if item.code else ""
            self.say(styled(f"{item.weight:8}", colours[item.weight]), f"{item.area:8} {code}{item.message}")
            if item.way_out:
                self.say(f"{'':16} way out: {item.way_out}")

    def dead_letter(self, letter: Mapping[str, Any]) -> None:
        """One dead letter in full."""
        self.dead_letters([letter], {})
        destination = letter["destination"]
        self.say(f"a retry sends it to: {destination or 'no queue; discard it when its cause is mended'}")
        if letter["group_id"]:
            self.say(f"message group: {letter['group_id']}")
        self.say("body:")
        self.say(letter["body"])


class ProgressBar:
    """One bar of a running display."""

    def __init__(self, progress: "Progress", task: "TaskID", description: str) -> None:
        self._progress = progress
        self._task = task
        self._description = description

    def set(self, completed: int, total: int | None = None) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=completed, total=total)

    def wait(self, completed: int, total: int, reasons: Mapping[str, int]) -> None:
        """Move the bar, and say what the rest waits for: reason to how many."""
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        description = visible(f"{self._description} ({told})" if told else self._description)
        self._progress.update(self._task, completed=completed, total=total, description=description)


def _checks(checks: "list[Check]") -> Table:
    colours = {"passed": "green", "failed": "red", "waiting": "yellow"}
    table = Table("check", "state", "seen")
    for check in checks:
        table.add_row(_cell(check.title), styled(check.state, colours[check.state]), _cell(check.detail))
    return table


def styled(text: str, style: str) -> Text:
    """Literal text in a style, for ``Output.say``."""
    return Text(visible(text), style=style)


def _cell(value: object) -> Text:
    """A value in a table, literally; a long one continues on the next line of its cell."""
    return Text(visible("-" if value is None else str(value)), overflow="fold")


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _place(row: Mapping[str, Any]) -> str:
    """The line of a row, and its word when it is one."""
    return "/".join(str(row[name]) for name in ("line_id", "word_id") if name in row)


def _place_name(row: Mapping[str, Any]) -> str:
    return "line/word" if "word_id" in row else "line"


def _table(columns: Sequence[str]) -> Table:
    table = Table()
    for name in columns:
        # An id that is cut names nothing, so it gets its width before any text does.
        table.add_column(_cell(name), no_wrap=name == "image", overflow="fold", max_width=CELL_WIDTH)
    return table


def _matches(matches: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(("image", "receipt", _place_name(matches[0]), "merchant", "distance", "text"))
    for match in matches:
        table.add_row(
            *(_cell(match[name]) for name in ("image", "receipt_id")),
            _cell(_place(match)),
            _cell(match.get("merchant_name")),
            _cell(_number(match["distance"])),
            _cell(match["text"]),
        )
    return table


def age(seconds: float) -> str:
    """How long ago, in the largest unit that says something."""
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"


def _process_name(process: int | None, otherwise: str) -> str:
    return otherwise if process is None else f"process {process}"


def _receipt_name(item: Mapping[str, Any]) -> str:
    number = f"receipt {item['receipt_id']} of " if item["receipt_id"] is not None else ""
    return f"{number}image {item['image_id']}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or "none yet"


def as_documents(items: Any) -> list[dict[str, Any]]:
    """Pydantic models as plain JSON values."""
    return [item.model_dump(mode="json") for item in items]
