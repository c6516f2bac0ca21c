"""How results are shown to people: a search, a receipt, an audit, a stack's state, dead letters, log lines, findings.

It asks nothing and writes by ``ops.console``. The modules that make the results import Chroma, Pulumi and AWS's
clients; showing needs none of these, so only the results' types are named here.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ops.console import Output, age, cell, styled, table_of
from ops.visible import visible_json

if TYPE_CHECKING:
    from one_consumer.audit.judgement import AuditedQueue
    from ops.doctor.judging import Finding
    from ops.logs.lines import LogLine
    from ops.reporting import StackStatus
    from ops.searching import SearchResult
    from ops.showing import ReceiptDetails

FIXED_WIDTH = 43
"""Columns that a table of matches needs beside image, merchant and text: three short fields and the borders."""
READABLE_WIDTH = 28
"""Columns that merchant and text together must have in a table; in a narrower terminal a match is shown as lines."""


SHOWN_RECEIPTS = 3
"""Of a dead letter that is about many."""


def show_search_result(output: Output, text: str, result: "SearchResult") -> None:
    """A table of matches, the best first."""
    output.say(f"{text!r} in {result.collection}, version {result.version} ({result.count} rows)")
    if not result.matches:
        nearest = "" if result.mode == "text" else "; --max-distance 2 shows the nearest, whatever they are"
        output.say(f"nothing matches{nearest}")
        return
    image_width = max(len(match["image"]) for match in result.matches)
    if output.console.width - FIXED_WIDTH - image_width >= READABLE_WIDTH:
        output.console.print(_matches(result.matches))
        return
    for match in result.matches:
        output.say(styled(f"{_number(match['distance']):>5}", "bold"), f"  {match['text']}")
        output.say(f"       {match.get('merchant_name', '-')}")
        output.say(f"       {match['image']} {match['receipt_id']}, {_place_name(match)} {_place(match)}")


def show_receipt(output: Output, details: "ReceiptDetails") -> None:
    """One receipt: what is published of it, its rows, and its runs."""
    output.say(styled(f"receipt {details['receipt_id']} of image {details['image_id']}", "bold"))
    version = details["version"]
    output.say(f"published: {f'in version {version} of lines' if version else 'no'}")
    if version:
        output.say(f"merchant: {details['merchant_name'] or '-'} ({details['merchant_source']})")
        output.say(f"run: {details['run_id']}, embedded by {details['embedding_model']}")
    for name in ("lines", "words"):
        rows = details[name]
        if rows:
            table = table_of((_place_name(rows[0]), "text", "confidence"))
            for row in rows:
                table.add_row(cell(_place(row)), cell(row["text"]), cell(_number(row.get("confidence"))))
            output.console.print(table)
        elif rows is not None:
            output.say(f"{name}: none published")
    for run in details["runs"]:
        states = ", ".join(f"{name} {_state(run, name)}" for name in ("lines", "words"))
        output.say(
            f"operation {run['operation']}: {run['kind']} by {run['consumer']}, {run['created_at']}, "
            f"run {run['run_id']}: {states}"
        )
        for error in run["errors"]:
            output.say("  ", styled(error, "red"))


def _state(run: Mapping[str, Any], collection: str) -> str:
    """What became of an operation in a collection; one that changed nothing names the one because of which."""
    newer = run[f"{collection}_superseded_by"]
    return run[collection] if newer is None else f"superseded by operation {newer}"


def show_audit(output: Output, audited: "Sequence[AuditedQueue]") -> None:
    """A line a consumer, and what is wrong."""
    colours = {"on": "green", "draining": "yellow", "off": "dim"}
    for item in audited:
        label = item.expected.label
        for live in item.consumers:
            standing = styled(live.standing, colours[live.standing])
            output.say(f"  {label}: {live.kind} {live.name} is ", standing, f" ({live.why})")
        if not item.consumers:
            output.say("  ", styled(f"{label}: nobody", "dim"))
        if item.finding:
            expected = item.expected.consumer or "nobody"
            output.say(f"  {label}: ", styled(item.finding, "red"), f", expected {expected}")


def show_status(output: Output, status: "StackStatus") -> None:
    """The tables of ``receipts status``."""
    consumer = status["consumer"]
    output.say(
        "consumer: ",
        styled(consumer["chosen"], "bold"),
        f"  (Lambda mapping {consumer['mapping_state']}, ECS desired {consumer['desired_count']}, "
        f"running {consumer['running_count']})",
    )
    table = Table("queue", "visible", "in flight")
    for queue in status["queues"]:
        table.add_row(cell(queue["name"]), str(queue["visible"]), str(queue["in_flight"]))
    output.console.print(table)
    output.say(f"receipts embedded, by consumer: {_counts(status['runs_by_consumer'])}")
    output.say(f"runs, by state: {_counts(status['runs_by_state'])}")
    output.say(f"receipts, by source of the merchant: {_counts(status['merchants'])}")
    versions = (f"{name} {version or 'nothing yet'}" for name, version in status["snapshots"].items())
    output.say(f"published versions: {', '.join(versions)}")


def show_processes(output: Output, status: Mapping[str, Any]) -> None:
    """A line for each process of the stack on this machine."""
    if not status["running"]:
        output.say("the stack is not up; `receipts local up` starts it")
        output.say(f"state: {status['state']}")
        return
    emulator = status["emulator"]
    ended = "has ended; `receipts doctor` says what to do"
    output.say(f"emulator: {emulator['endpoint']}, {_process_name(emulator['process'], ended)}")
    for name, process in status["functions"].items():
        output.say(f"function {name}: {_process_name(process, 'no process until its next event')}")
    for name, workers in status["services"].items():
        told = ", ".join(_process_name(process, "") for process in workers)
        output.say(f"service {name}: {told or 'no worker'}")
    output.say(f"state: {status['state']}")
    output.say(f"logs: {status['logs']}")


def show_dead_letters(output: Output, letters: Sequence[Mapping[str, Any]], unseen: Mapping[str, int]) -> None:
    """Two lines a dead letter, and how many could not be looked at."""
    for letter in letters:
        receipts = ", ".join(_receipt_name(item) for item in letter["receipts"][:SHOWN_RECEIPTS])
        more = len(letter["receipts"]) - SHOWN_RECEIPTS
        about = f"{receipts}{f' and {more} more' if more > 0 else ''}" or "no receipt that it names"
        code = styled(letter["code"] or "MOVED_BY_SQS", "red")
        output.say(
            styled(letter["queue"], "bold"), f" {letter['message_id']}  {age(letter['age_seconds'])} old  ", code
        )
        output.say(f"    {about}: {letter['reason']}")
    if not letters and not unseen:
        output.say("no dead letters")
    for queue, count in unseen.items():
        output.say(f"{queue}: {count} more, hidden by somebody else's look or behind these in their group")


def show_dead_letter(output: Output, letter: Mapping[str, Any]) -> None:
    """One dead letter in full."""
    show_dead_letters(output, [letter], {})
    destination = letter["destination"]
    output.say(f"a retry sends it to: {destination or 'no queue; discard it when its cause is mended'}")
    if letter["group_id"]:
        output.say(f"message group: {letter['group_id']}")
    output.say("body:")
    output.say(letter["body"])


def show_log_line(output: Output, line: "LogLine") -> None:
    """A line of a log; with ``as_json`` an object on a line of its own, since none is known to be the last."""
    at = line.at.isoformat(timespec="milliseconds") if line.at else None
    if output.as_json:
        Output.has_written = True
        document = {"at": at, "host": line.host, "level": line.level, "message": line.message, **line.fields}
        sys.stdout.write(visible_json(json.dumps(document, ensure_ascii=False, default=str)) + "\n")
        sys.stdout.flush()
        return
    colour = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow"}.get(line.level, "")
    fields = "".join(f"  {name}={value}" for name, value in line.fields.items())
    output.say_lines(
        Text().append_text(styled(f"{at or '-'} {line.host} ", "dim")).append_text(styled(line.level, colour)),
        f"{line.message}{fields}",
    )


def show_examination(output: Output, found: "Sequence[Finding]") -> None:
    """What a doctor found, a line each, and its way out below it."""
    colours = {"ok": "green", "note": "cyan", "warning": "yellow", "fault": "red"}
    for item in found:
        code = f"{item.code}: " if item.code else ""
        output.say(styled(f"{item.weight:8}", colours[item.weight]), f"{item.area:8} {code}{item.message}")
        if item.way_out:
            output.say(f"{'':16} way out: {item.way_out}")


def _matches(matches: Sequence[Mapping[str, Any]]) -> Table:
    table = table_of(("image", "receipt", _place_name(matches[0]), "merchant", "distance", "text"))
    for match in matches:
        table.add_row(
            *(cell(match[name]) for name in ("image", "receipt_id")),
            cell(_place(match)),
            cell(match.get("merchant_name")),
            cell(_number(match["distance"])),
            cell(match["text"]),
        )
    return table


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _place(row: Mapping[str, Any]) -> str:
    """The line of a row, and its word when it is one."""
    return "/".join(str(row[name]) for name in ("line_id", "word_id") if name in row)


def _place_name(row: Mapping[str, Any]) -> str:
    return "line/word" if "word_id" in row else "line"


def _process_name(process: int | None, otherwise: str) -> str:
    return otherwise if process is None else f"process {process}"


def _receipt_name(item: Mapping[str, Any]) -> str:
    number = f"receipt {item['receipt_id']} of " if item["receipt_id"] is not None else ""
    return f"{number}image {item['image_id']}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or "none yet"
