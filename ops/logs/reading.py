"""Reads the stages' logs, and follows them: files on this machine, CloudWatch's log groups in an account."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import ClientError

from ops.errors import OperatorError
from ops.failures import may_pass
from ops.logs.lines import LogLine, entries, parse
from ops.target import Target
from pipeline.aws import AwsClient

POLL_SECONDS = {"file": 0.5, "cloudwatch": 3.0}
"""Between two looks at what is followed."""
LATE = timedelta(seconds=60)
"""For so long CloudWatch is asked again for what was there: a line may come to it after a later one."""


class Source(Protocol):
    """Where logs are read."""

    poll_seconds: float

    def read(self) -> list[LogLine]:
        """What was written since the beginning, at the first call; later what has come since the call before."""
        ...


@dataclass(kw_only=True)
class LogFiles:
    """The files of the stack on this machine.

    Attributes:
        directory: it holds a file for each host.
        hosts: whose are read.
        since: earlier lines are left out.
    """

    directory: Path
    hosts: Sequence[str]
    since: datetime
    poll_seconds: float = POLL_SECONDS["file"]
    _places: dict[str, int] = field(default_factory=dict)

    def read(self) -> list[LogLine]:
        """See ``Source``. A line that is not ended yet is left for the next call."""
        found = [line for host in self.hosts for line in entries(host, self._new(host))]
        return _sorted(line for line in found if line.at is None or line.at >= self.since)

    def _new(self, host: str) -> list[str]:
        path = self.directory / f"{host}.log"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._places.get(host, 0))
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._places[host] = self._places.get(host, 0) + len(whole)
        return whole.decode(errors="replace").splitlines()


@dataclass(kw_only=True)
class LogGroups:
    """The log groups of a stack in an account.

    Attributes:
        client: a CloudWatch Logs client.
        groups: host to the name of its log group.
        since: earlier lines are left out.
    """

    client: AwsClient
    groups: Mapping[str, str]
    since: datetime
    poll_seconds: float = POLL_SECONDS["cloudwatch"]
    _from: dict[str, datetime] = field(default_factory=dict)
    _seen: dict[str, datetime] = field(default_factory=dict)
    _held: list[LogLine] = field(default_factory=list)

    def read(self) -> list[LogLine]:
        """See ``Source``.

        Raises:
            OperatorError: LOGS_UNREADABLE. What was read before it is in the next answer.
        """
        for host, group in self.groups.items():
            for line in self._new(host, group):
                self._held.append(line)
        found, self._held = _sorted(self._held), []
        # Only what may be asked for again is kept.
        oldest = min(self._from.values(), default=self.since)
        self._seen = {key: at for key, at in self._seen.items() if at >= oldest}
        return found

    def _new(self, host: str, group: str) -> Iterator[LogLine]:
        start = self._from.get(host, self.since)
        latest = start + LATE if host in self._from else start
        # A host that has never worked may have no group yet.
        for event in log_events(self.client, group, start, may_be_missing=True):
            at = datetime.fromtimestamp(event["timestamp"] / 1_000, self.since.tzinfo)
            latest = max(latest, at)
            if event["eventId"] not in self._seen:
                self._seen[event["eventId"]] = at
                yield parse(host, event["message"].rstrip("\n"), at)
        self._from[host] = max(self.since, latest - LATE)


def log_events(
    client: AwsClient, group: str, since: datetime, *, may_be_missing: bool = False
) -> Iterator[Mapping[str, Any]]:
    """The events of one log group, in CloudWatch's order: ``timestamp`` in milliseconds, ``eventId``, ``message``.

    Args:
        client: a CloudWatch Logs client.
        group: the log group's name.
        since: earlier events are left out.
        may_be_missing: a group that does not exist has no events. Not for a check that relies on there being none.

    Raises:
        OperatorError: LOGS_UNREADABLE.
    """
    pages = client.get_paginator("filter_log_events")
    try:
        for page in pages.paginate(logGroupName=group, startTime=int(since.timestamp() * 1_000)):
            yield from page["events"]
    except ClientError as error:
        if may_be_missing and error.response["Error"]["Code"] == "ResourceNotFoundException":
            return
        raise OperatorError(
            "LOGS_UNREADABLE",
            f"log group {group}: {error}",
            "the operator needs logs:FilterLogEvents on the stack's log groups",
        ) from error


def source(target: Target, hosts: Mapping[str, str], since: datetime) -> Source:
    """Where the logs of a stack are.

    Args:
        target: the stack.
        hosts: host to the name of its log group.
        since: earlier lines are left out.
    """
    if target.log_directory is not None:
        return LogFiles(directory=target.log_directory, hosts=tuple(hosts), since=since)
    return LogGroups(client=target.client("logs"), groups=hosts, since=since)


def follow(
    source: Source,
    show: Callable[[LogLine], object],
    complain: Callable[[Exception], object],
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Show what is there, then what comes, until it is interrupted.

    Args:
        source: where logs are read.
        show: is given every line.
        complain: is given the error when reading fails for a while, once; the next reading may succeed.
        sleep: waits for so many seconds.

    Raises:
        Exception: what the first reading raises, and every bug.
    """
    has_read = is_failing = False
    while True:
        try:
            found = source.read()
        except Exception as error:
            if not has_read or not may_pass(error):
                raise
            if not is_failing:
                complain(error)
            is_failing = True
        else:
            has_read, is_failing = True, False
            for line in found:
                show(line)
        sleep(source.poll_seconds)


def _sorted(lines: Iterable[LogLine]) -> list[LogLine]:
    """By time; a line without one keeps its place behind the line before it."""
    keyed: list[tuple[float, LogLine]] = []
    last = 0.0
    for line in lines:
        last = line.at.timestamp() if line.at else last
        keyed.append((last, line))
    return [line for _, line in sorted(keyed, key=lambda item: item[0])]
