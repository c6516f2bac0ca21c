"""The live view in a terminal, in a pipe and for programs.

A failure lets a receipt's text act on the operator's terminal, or leaves a view that does not end.
"""

import io
import json
import sys

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from rich.console import Console

from ops.commands import options
from ops.console import Output
from ops.errors import OperatorError
from ops.local.control import ControlError
from ops.watching import gathering
from ops.watching.snapshot import QueueNow, Snapshot, Span
from ops.watching.terminal import bar, frame, watch
from tests.watching.snapshots import CONTROLS, MARKUP, PLAIN, snapshot


def drawn(seen: Snapshot, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False)
    console.print(frame(seen, width))
    return console.file.getvalue()  # pyrefly: ignore


def test_one_screen_has_all_that_an_operator_looks_for():
    text = drawn(PLAIN)
    for told in (
        *("stack local", "consumer: lambda", "Lambda function on", "ECS worker off", "1 min"),
        *("dead letters: none", "words FAILED 1", "embedded by lambda 13", "274 rows", "words nothing yet"),
        *("2 failed", "DELTA_INVALID"),
    ):
        assert told in text
    assert text.count("\n") <= 30


def test_text_from_data_is_shown_literally_and_acts_on_no_terminal():
    text = drawn(PLAIN, width=2_000)
    assert MARKUP in text
    assert CONTROLS not in text
    assert "\\x1b[31mred" in text


def test_a_switch_that_is_under_way_is_told():
    assert "an update from lambda to ecs has begun and not ended" in drawn(snapshot(unfinished="ecs"))


def test_dead_letters_a_missing_queue_and_what_could_not_be_looked_at_are_told():
    queues = (
        QueueNow(label="embed-ecs", visible=0, in_flight=0, is_missing=True),
        QueueNow(label="embed, dead letters", visible=2, in_flight=1, is_dead_letter=True),
    )
    text = drawn(snapshot(queues=queues, runs=None, remarks=("ages are not known",)))
    for told in ("missing", "embed, dead letters 3", "table is being read", "ages are not known"):
        assert told in text


def test_a_timeline_has_now_at_its_right_end_and_the_short_is_still_seen():
    def span(started: float, ended: float) -> Span:
        return Span(lane="x", started=started, ended=ended, is_running=not ended)

    assert bar([], 12) == "·" * 12
    assert bar([span(120, 0)], 12) == "█" * 12
    assert bar([span(15, 0)], 12) == "·" * 10 + "██"
    assert bar([span(119.99, 119.98)], 12) == "█" + "·" * 11


def test_a_pipe_gets_a_frame_a_look_and_programs_a_line_a_look(capsys):
    for as_json in (False, True):
        watch(Output(as_json=as_json), lambda: PLAIN, interval=1, count=2, sleep=lambda _: None)
    out = capsys.readouterr().out
    assert out.count("stack local") == 2
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert [line["chosen"] for line in lines] == ["lambda", "lambda"]
    assert "\x1b" not in out


def test_a_terminal_gets_one_screen_that_is_given_back():
    output = Output(as_json=False)
    output.console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40, markup=False)
    watch(output, lambda: PLAIN, interval=1, count=3, sleep=lambda _: None)
    text = output.console.file.getvalue()  # pyrefly: ignore
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


UNREADABLE = OperatorError("STACK_UNREADABLE", "no connection", "`pulumi stack output` shows the same")


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "failure",
    [UNREADABLE, ControlError("busy"), ConnectionResetError("gone"), EndpointConnectionError(endpoint_url="x")],
)
def test_a_reading_that_fails_keeps_the_last_picture_with_the_reason_and_the_view_goes_on(capsys, failure, as_json):
    looks = iter([PLAIN, failure, snapshot(chosen="ecs")])

    def look() -> Snapshot:
        seen = next(looks)
        if isinstance(seen, Exception):
            raise seen
        return seen

    watch(Output(as_json=as_json), look, interval=1, count=3, sleep=lambda _: None)
    out = capsys.readouterr().out
    assert out.count("could not look just now") == 1
    if as_json:
        first, kept, last = map(json.loads, out.splitlines())
        assert (kept["at"], kept["remarks"]) == (first["at"], [f"could not look just now: {failure}"])
        assert (last["chosen"], last["remarks"]) == ("ecs", first["remarks"])


def test_a_bug_ends_the_view():
    looks = iter([PLAIN])
    with pytest.raises(StopIteration):
        watch(Output(as_json=False), lambda: next(looks), interval=1, count=2, sleep=lambda _: None)


def test_a_look_that_fails_is_told_and_the_next_one_is_shown_but_a_stack_that_ended_ends_it(capsys):
    throttled = ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "GetQueueAttributes")
    ended = OperatorError("STACK_NOT_RUNNING", "the local stack is not up", "receipts local up")
    looks = iter([PLAIN, throttled, PLAIN, ended])

    def look() -> Snapshot:
        seen = next(looks)
        if isinstance(seen, Exception):
            raise seen
        return seen

    with pytest.raises(OperatorError, match="STACK_NOT_RUNNING"):
        watch(Output(as_json=False), look, interval=1, count=None, sleep=lambda _: None)
    out = capsys.readouterr().out
    assert out.count("stack local") == 3
    assert out.count("could not look just now") == 1
    with pytest.raises(ClientError):
        watch(Output(as_json=False), lambda: (_ for _ in ()).throw(throttled), interval=1, count=2, sleep=id)


class Looks:
    """A watcher whose second look is interrupted by Ctrl-C."""

    def __init__(self) -> None:
        self.looked, self.closed = 0, False

    def __enter__(self) -> "Looks":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def look(self) -> Snapshot:
        self.looked += 1
        if self.looked == 2:
            raise KeyboardInterrupt
        return PLAIN


def test_ctrl_c_ends_the_command_well_and_json_ends_after_one_look(monkeypatch, capsys):
    from ops import cli

    def run(*words: str) -> tuple[int | str | None, Looks]:
        looks = Looks()
        monkeypatch.setattr(options, "view", lambda _: None)
        monkeypatch.setattr(gathering, "Watcher", lambda _: looks)
        monkeypatch.setattr(sys, "argv", ["receipts", "watch", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, looks

    code, looks = run("--interval", "0.2")
    assert (code, looks.looked, looks.closed) == (0, 2, True)
    assert capsys.readouterr().err == ""
    code, looks = run("--json")
    assert (code, looks.looked) == (0, 1)
