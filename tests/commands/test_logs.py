"""`receipts logs`: of files and of CloudWatch. A failure hides the line that says why."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ops.errors import OperatorError
from ops.logs.lines import LogLine, beginning, entries, hosts, is_about, moment
from ops.logs.reading import LogFiles, LogGroups, follow
from ops.stacks.account import PulumiSwitchable
from ops.target import Target

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
OUTPUTS = {
    "uploadFunctionName": "upload",
    "embedFunctionName": "embed",
    "serviceName": "worker",
    "streamProcessorFunctionName": "stream",
    "mergeFunctionName": "merge",
}


def written(at: datetime, message: str, **fields: Any) -> str:
    """A line as `pipeline/logs.py` writes it: in the host's own time."""
    local = at.astimezone().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    return json.dumps({"time": local, "level": "INFO", "logger": "x", "message": message, **fields})


def unexpected(what: object) -> None:
    raise AssertionError(what)


def test_an_entry_has_the_lines_of_its_traceback_and_its_time():
    lines = [written(NOW, "one", run_id="r"), "Traceback (most recent call last):", "KeyError: 1", written(NOW, "two")]
    first, second = entries("embed", lines)
    assert first.message == "one\nTraceback (most recent call last):\nKeyError: 1"
    assert (first.at, first.fields) == (NOW, {"run_id": "r"})
    assert second.message == "two"


def test_what_comes_before_any_time_and_what_is_no_object_is_shown_as_it_is():
    (line,) = entries("embed", ["no json", "[1]"])
    assert (line.at, line.message) == (None, "no json\n[1]")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2026-01-02T12:00:00.000Z", NOW),
        ("2026-01-02T12:00:00Z", NOW),
        ("yesterday", None),
        (None, None),
        (5, None),
        ("0001-01-01 00:00:00,000", None),
    ],
)
def test_the_times_of_python_and_of_lambda_are_read(said, expected):
    assert moment(said) == expected


@pytest.mark.parametrize(
    ("since", "age"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
        ("0s", timedelta()),
    ],
)
def test_an_age_is_a_number_and_a_unit(since, age):
    assert beginning(since, NOW) == NOW - age


@pytest.mark.parametrize("since", ["", "h", "1", "1w", "-1h", "1.5h", "\u0661h", "999999999999d", "1 h ago"])
def test_what_is_no_age_is_refused(since):
    with pytest.raises(OperatorError, match="SINCE_INVALID"):
        beginning(since, NOW)


def test_a_line_is_about_a_receipt_when_it_names_it():
    line = LogLine(at=NOW, host="h", level="INFO", message="m", fields={}, text='{"run_id": "abc"}')
    assert is_about(line, ())
    assert is_about(line, {"abc", "zzz"})
    assert not is_about(line, {"zzz"})


def test_the_hosts_of_a_stage_and_their_log_groups():
    assert hosts(OUTPUTS, "embed") == {"embed": "/aws/lambda/embed", "worker": "/ecs/worker"}
    assert set(hosts(OUTPUTS, None)) == set(OUTPUTS.values())
    assert "pictures" in hosts({**OUTPUTS, "pictureFunctionName": "pictures"}, None)


def test_files_are_read_in_the_order_of_time_and_followed(tmp_path: Path):
    (tmp_path / "a.log").write_text(written(NOW, "2") + "\n" + written(NOW + timedelta(seconds=2), "4") + "\n")
    (tmp_path / "b.log").write_text(
        written(NOW - timedelta(hours=2), "old") + "\n" + written(NOW + timedelta(seconds=1), "3") + "\n"
    )
    source = LogFiles(directory=tmp_path, hosts=("a", "b", "never worked"), since=NOW - timedelta(hours=1))
    assert [line.message for line in source.read()] == ["2", "3", "4"]
    assert source.read() == []
    with (tmp_path / "a.log").open("a") as file:
        file.write(written(NOW + timedelta(seconds=3), "5") + "\n" + '{"time": "2026')
    assert [line.message for line in source.read()] == ["5"], "a line that is not ended is left for later"
    with (tmp_path / "a.log").open("a") as file:
        file.write('-01-02T12:00:09Z", "level": "INFO", "message": "6"}\n')
    assert [line.message for line in source.read()] == ["6"]


@pytest.fixture
def logs(aws: None) -> Iterator[Any]:
    client = boto3.client("logs", region_name="eu-central-1")
    for group in ("/aws/lambda/embed", "/ecs/worker"):
        client.create_log_group(logGroupName=group)
        client.create_log_stream(logGroupName=group, logStreamName="s")
    yield client
    client.close()


def put(client: Any, group: str, at: datetime, message: str) -> None:
    event = {"timestamp": int(at.timestamp() * 1_000), "message": message}
    client.put_log_events(logGroupName=group, logStreamName="s", logEvents=[event])


def test_log_groups_are_read_and_followed_also_what_comes_late(logs):
    # CloudWatch takes no event that is older than two weeks.
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    put(logs, "/aws/lambda/embed", now, written(now, "1"))
    put(logs, "/ecs/worker", now + timedelta(seconds=1), "START")
    put(logs, "/ecs/worker", now - timedelta(hours=2), "old")
    source = LogGroups(client=logs, groups=hosts(OUTPUTS, None), since=now - timedelta(hours=1))
    assert [line.message for line in source.read()] == ["1", "START"], "a group that is not there yet is no error"
    assert source.read() == []
    put(logs, "/ecs/worker", now + timedelta(seconds=2), "after")
    put(logs, "/aws/lambda/embed", now - timedelta(seconds=20), "late")
    assert {line.message for line in source.read()} == {"after", "late"}
    assert source.read() == []


def test_a_group_that_may_not_be_read_is_said(logs, monkeypatch):
    def refuse(**_: Any) -> Any:
        raise logs.exceptions.ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Filter")

    monkeypatch.setattr(logs, "get_paginator", lambda _: type("Pages", (), {"paginate": staticmethod(refuse)}))
    with pytest.raises(OperatorError, match="LOGS_UNREADABLE"):
        LogGroups(client=logs, groups={"embed": "/aws/lambda/embed"}, since=NOW).read()


def test_a_switch_reads_the_same_groups_and_a_missing_one_is_no_proof_that_a_host_is_idle(logs, monkeypatch, tmp_path):
    now = datetime.now(UTC).replace(microsecond=0)
    put(logs, "/aws/lambda/embed", now - timedelta(minutes=9), "before the switch")
    put(logs, "/aws/lambda/embed", now, "of the function")
    put(logs, "/ecs/worker", now, "of the worker")
    target = Target(outputs=OUTPUTS, client_options={"region_name": "eu-central-1"}, cache_directory=tmp_path)
    monkeypatch.setattr("ops.stacks.account.pulumi_stack", lambda _: None)
    monkeypatch.setattr("ops.stacks.account.pulumi_target", lambda _: target)
    stack, since = PulumiSwitchable("dev"), now - timedelta(minutes=1)
    assert stack.logs("lambda", since) == ["of the function"]
    assert stack.logs("ecs", since) == ["of the worker"]
    logs.delete_log_group(logGroupName="/ecs/worker")
    with pytest.raises(OperatorError, match=r"LOGS_UNREADABLE: log group /ecs/worker"):
        stack.logs("ecs", since)


def test_following_goes_on_until_it_is_interrupted(tmp_path: Path):
    shown: list[str] = []
    file = tmp_path / "a.log"
    file.write_text(written(NOW, "0") + "\n")

    def sleep(_: float) -> None:
        if len(shown) == 3:
            raise KeyboardInterrupt
        with file.open("a") as more:
            more.write(written(NOW, str(len(shown))) + "\n")

    source = LogFiles(directory=tmp_path, hosts=("a",), since=NOW)
    with pytest.raises(KeyboardInterrupt):
        follow(source, lambda line: shown.append(line.message), unexpected, sleep)
    assert shown == ["0", "1", "2"]


def test_a_reading_that_fails_for_a_while_is_told_once_loses_no_line_and_does_not_end_the_following(logs, monkeypatch):
    now = datetime.now(UTC).replace(microsecond=0)
    events: list[str | None] = []
    throttled = ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "FilterLogEvents")
    paginator, broken = logs.get_paginator, {"/ecs/worker": False}

    class Pages:
        def paginate(self, *, logGroupName: str, **asked: Any) -> Any:
            if broken.get(logGroupName):
                raise throttled
            return paginator("filter_log_events").paginate(logGroupName=logGroupName, **asked)

    def sleep(_: float) -> None:
        events.append(None)
        if len(events) == 1:
            # The function's group is read before the worker's, which fails.
            put(logs, "/aws/lambda/embed", now, "read before the failure")
            put(logs, "/ecs/worker", now, "behind the failure")
            broken["/ecs/worker"] = True
        elif events.count(None) == 3:
            broken["/ecs/worker"] = False
        elif events.count(None) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(logs, "get_paginator", lambda _: Pages())
    source = LogGroups(client=logs, groups=hosts(OUTPUTS, "embed"), since=now - timedelta(minutes=1))
    with pytest.raises(KeyboardInterrupt):
        follow(source, lambda line: events.append(line.message), lambda error: events.append(str(error)[:15]), sleep)
    assert events[:4] == [None, "LOGS_UNREADABLE", None, None]
    assert sorted(filter(None, events[4:])) == ["behind the failure", "read before the failure"]


def test_what_cannot_be_read_at_first_is_an_error_and_a_bug_is_one_later(tmp_path):
    class Bad:
        poll_seconds = 0.0

        def __init__(self, *answers: Exception | None) -> None:
            self._answers = list(answers)

        def read(self) -> list[LogLine]:
            answer = self._answers.pop(0)
            if answer:
                raise answer
            return []

    for source, error in ((Bad(OSError("no")), OSError), (Bad(None, KeyError("bug")), KeyError)):
        with pytest.raises(error):
            follow(source, unexpected, unexpected, lambda _: None)
