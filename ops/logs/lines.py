"""A line of a stage's log: when, how serious, what it says, and whether it is about a receipt. Pure."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.errors import OperatorError

TIME_FORMATS = ("%Y-%m-%d %H:%M:%S,%f", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ")
"""Of ``pipeline/logs.py``, in the host's time zone; of Lambda's own JSON lines, in UTC."""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SERVICE = "serviceName"
READS_PICTURES = "pictureFunctionName"
"""An output that only a stack with ``receipts:ocr`` has."""
STAGES: Mapping[str, tuple[str, ...]] = {
    "pictures": (READS_PICTURES,),
    "upload": ("uploadFunctionName",),
    "embed": ("embedFunctionName", "serviceName"),
    "stream": ("streamProcessorFunctionName",),
    "merge": ("mergeFunctionName",),
}
"""By the name that `--stage` takes: the outputs with the names of its hosts, functions or the worker's service."""
SHOWN_APART = frozenset({"time", "timestamp", "level", "logger", "message", "exc_info", "taskName"})
"""Fields that are shown in a place of their own, or that say nothing."""


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line, with the lines below it that have no time of their own, such as those of a traceback.

    Attributes:
        at: when it was written; None when nothing says so.
        host: the function's or the service's name.
        level: as Python's logging names it; empty of a line that is no JSON.
        message: what it says.
        fields: everything else that it carries.
        text: as it was written.
    """

    at: datetime | None
    host: str
    level: str
    message: str
    fields: Mapping[str, Any]
    text: str


def parse(host: str, text: str, at: datetime | None = None) -> LogLine:
    """One entry of a log.

    Args:
        host: who wrote it.
        text: the entry, which may have several lines.
        at: when, where somebody else knows; otherwise the entry says it.
    """
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("no object")
    except ValueError:
        return LogLine(at=at, host=host, level="", message=text.rstrip("\n"), fields={}, text=text)
    said = content.get("time") or content.get("timestamp")
    trace = str(content.get("exc_info") or "")
    message = str(content.get("message", "")) + (f"\n{trace}" if trace else "")
    fields = {name: value for name, value in content.items() if name not in SHOWN_APART}
    return LogLine(
        at=at or moment(said), host=host, level=str(content.get("level", "")), message=message, fields=fields, text=text
    )


def moment(said: object) -> datetime | None:
    """A line's own time; None when it is not one of ``TIME_FORMATS``."""
    for form in TIME_FORMATS:
        try:
            found = datetime.strptime(str(said), form)
            return found.replace(tzinfo=UTC) if form.endswith("Z") else found.astimezone(UTC)
        # Also of a time that lies outside the calendar in another time zone.
        except (ValueError, OverflowError):
            continue
    return None


def entries(host: str, lines: Iterable[str]) -> Iterator[LogLine]:
    """The entries of a file: a line that is no JSON belongs to the one before."""
    held: LogLine | None = None
    for text in lines:
        line = parse(host, text)
        if line.level or held is None:
            if held is not None:
                yield held
            held = line
        else:
            held = LogLine(
                at=held.at,
                host=host,
                level=held.level,
                message=f"{held.message}\n{line.message}",
                fields=held.fields,
                text=f"{held.text}\n{text}",
            )
    if held is not None:
        yield held


def is_about(line: LogLine, names: Collection[str]) -> bool:
    """Whether a line names a receipt by its image id or by one of its runs; every line does when none is asked for."""
    return not names or any(name in line.text for name in names)


def beginning(since: str, now: datetime) -> datetime:
    """The moment that ``--since`` means: an age such as `90s`, `15m`, `2h` or `1d`.

    Raises:
        OperatorError: SINCE_INVALID.
    """
    number, unit = since[:-1], since[-1:]
    try:
        if unit not in UNITS or not number.isascii() or int(number) < 0:
            raise ValueError(since)
        return now - timedelta(**{UNITS[unit]: int(number)})
    except (ValueError, OverflowError) as error:
        raise OperatorError(
            "SINCE_INVALID", f"{since!r} is no age", "give a number and a unit: 90s, 15m, 2h or 1d"
        ) from error


def hosts(outputs: Mapping[str, Any], stage: str | None) -> dict[str, str]:
    """Host to the name of its log group, of one stage or of all.

    Args:
        outputs: the stack's.
        stage: one of ``STAGES``; None for all.
    """
    names = [name for key, listed in STAGES.items() if stage in (None, key) for name in listed]
    if stage is None and not outputs.get(READS_PICTURES):
        names.remove(READS_PICTURES)
    return {outputs[name]: f"{'/ecs/' if name == SERVICE else '/aws/lambda/'}{outputs[name]}" for name in names}
