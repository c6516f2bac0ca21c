"""Text from data and from AWS on its way to a terminal, or into a pipe that ends in one.

What a terminal acts on lets a receipt recolour, hide or forge the lines that an operator decides by.
"""

import io
import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from one_consumer.audit.judgement import AuditedQueue, ExpectedQueue
from one_consumer.live.observation import LiveConsumer, Standing
from ops import views
from ops.commands import options
from ops.console import Output, age, styled
from ops.doctor.judging import Finding as Examined
from ops.doctor.judging import Weight
from ops.local.engines.steps import EngineError
from ops.logs.lines import LogLine
from ops.reconciling import showing as reconciling
from ops.reconciling.comparison import Difference, Finding
from ops.reconciling.looking import Reconciliation
from ops.reconciling.showing import show_reconciliations
from ops.searching import SearchResult
from ops.switching import showing
from ops.switching.checks import Check, CheckState
from ops.switching.showing import live_checks
from ops.target import OperatorError
from ops.visible import visible, visible_json, visible_lines
from pipeline.collections.receipts import ReceiptKey
from pipeline.errors import ErrorCode, PermanentError

HOSTILE = "[bold]:secret:[/x] \x1b[31m\x07\x9b1m\r\u202e\u2066\x7f\x08 1\n2\t\u2028"
ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:key"
SHOWN = [visible(part) for part in ("[bold]:secret:[/x]", "\x1b[31m\x07\x9b1m\r\u202e\u2066\x7f\x08", "1\n2\t\u2028")]
ROW = {
    "image": "1",
    "image_id": "1",
    "receipt_id": 1,
    "line_id": 1,
    "distance": 0.1,
    "confidence": 0.1,
    "text": HOSTILE,
    "merchant_name": HOSTILE,
}
PROCESSES = {
    "running": True,
    "state": HOSTILE,
    "emulator": {"endpoint": HOSTILE, "process": 1},
    "functions": {HOSTILE: None},
    "services": {HOSTILE: [1, 2]},
    "logs": HOSTILE,
}
LETTER = {
    "queue": HOSTILE,
    "message_id": "m",
    "code": HOSTILE,
    "reason": HOSTILE,
    "age_seconds": 90,
    "receipts": [{"image_id": HOSTILE, "receipt_id": 1}],
    "destination": HOSTILE,
    "group_id": HOSTILE,
    "body": HOSTILE,
}
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def progress(output: Output) -> None:
    with output.progress(HOSTILE, 3) as bar:
        bar.set(2)
        bar.wait(2, 3, {HOSTILE: 1})


def checks(output: Output) -> None:
    check = Check(title=HOSTILE, look=lambda: (True, ""), state=CheckState.PASSED, detail=HOSTILE)
    with live_checks(output) as show:
        show([check])


def audit(output: Output) -> None:
    expected: Any = ExpectedQueue(label=HOSTILE, url="u", consumer=None)
    consumer = LiveConsumer(kind="mapping", name=HOSTILE, standing=Standing.ON, why=HOSTILE)
    views.show_audit(
        output, [AuditedQueue(expected=expected, visible=0, in_flight=0, consumers=(consumer,), finding=None)]
    )


def receipt(output: Output) -> None:
    run = {
        "operation": 1,
        "kind": "upsert",
        "consumer": HOSTILE,
        "created_at": "now",
        "run_id": "r",
        "lines": "L",
        "words": "W",
        "lines_superseded_by": None,
        "words_superseded_by": 2,
        "errors": [HOSTILE],
    }
    details: Any = dict.fromkeys(("words_version", "embedding_model", "words"), HOSTILE) | {
        "image_id": HOSTILE,
        "receipt_id": 1,
        "version": HOSTILE,
        "merchant_name": HOSTILE,
        "merchant_source": "given",
        "run_id": HOSTILE,
        "lines": [ROW],
        "words": [],
        "runs": [run],
    }
    views.show_receipt(output, details)


def reconciliation(output: Output) -> None:
    finding = Finding(
        difference=next(iter(Difference)),
        collection="lines",
        receipt=ReceiptKey(HOSTILE, 1),
        run_id=HOSTILE,
        detail=HOSTILE,
        repair=None,
        way_out=HOSTILE,
    )
    found = Reconciliation(
        collection="lines", version=HOSTILE, rows=1, missed=1, runs=(), deltas=1, findings=(finding,), looked_at=MOMENT
    )
    show_reconciliations(output, [found])


def status(output: Output) -> None:
    report: Any = {
        "queues": [{"name": HOSTILE, "visible": 1, "in_flight": 2}],
        "consumer": {"chosen": HOSTILE, "mapping_state": HOSTILE, "desired_count": 1, "running_count": 1},
        "runs_by_state": {HOSTILE: 1},
        "runs_by_consumer": {HOSTILE: 1},
        "merchants": {HOSTILE: 1},
        "snapshots": {"lines": HOSTILE},
    }
    views.show_status(output, report)


WAYS: dict[str, Callable[[Output], object]] = {
    "say": lambda output: output.say(HOSTILE, styled(HOSTILE, "red")),
    "say_lines": lambda output: output.say_lines(styled("failed:", "red"), HOSTILE),
    "heading": lambda output: output.heading(HOSTILE),
    "step": lambda output: output.step("update", HOSTILE),
    "progress": progress,
    "show_search_result": lambda output: views.show_search_result(
        output, HOSTILE, SearchResult(collection="lines", version=HOSTILE, count=1, mode="text", matches=(ROW,))
    ),
    "show_receipt": receipt,
    "show_audit": audit,
    "live_checks": checks,
    "show_reconciliations": reconciliation,
    "show_log_line": lambda output: views.show_log_line(
        output, LogLine(at=MOMENT, host=HOSTILE, level=HOSTILE, message=HOSTILE, fields={"a": HOSTILE}, text=HOSTILE)
    ),
    "show_examination": lambda output: views.show_examination(
        output, [Examined(area="stack", weight=Weight.FAULT, code="C", message=HOSTILE, way_out=HOSTILE)]
    ),
    "show_dead_letters": lambda output: views.show_dead_letters(output, [LETTER], {HOSTILE: 1}),
    "table": lambda output: output.table((HOSTILE,), [(HOSTILE,)]),
    "show_processes": lambda output: views.show_processes(output, PROCESSES),
    "show_dead_letter": lambda output: views.show_dead_letter(output, LETTER),
    "show_status": status,
}


def test_every_way_to_show_something_is_tried():
    shown = {name for module in (views, showing, reconciling) for name in vars(module) if name.startswith("show_")}
    ways = {name for name, way in vars(Output).items() if callable(way) and not name.startswith("_")}
    assert shown | {"live_checks"} | ways - {"document", "line"} == set(WAYS)


def acted_on(text: str) -> set[str]:
    return {character for character in text if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}


@pytest.mark.parametrize("columns", [40, 1_000])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_is_shown_reaches_a_pipe_raw_or_read_as_markup(monkeypatch, way, columns):
    written = io.StringIO()
    output = Output(as_json=False)
    output.console.file, output.console.width = written, columns
    WAYS[way](output)
    text = written.getvalue()
    assert acted_on(text) <= {"\n"}
    if columns > 40:
        assert SHOWN[0] in text
        assert SHOWN[1] in text
    if way != "say_lines":
        assert all(line.lstrip().split(" ")[0] != "2\\t\\u2028" for line in text.splitlines())


@pytest.mark.parametrize("way", WAYS)
def test_a_terminal_is_sent_no_sequence_of_the_data(way):
    written = io.StringIO()
    output = Output(as_json=False)
    output.console = Console(
        file=written, force_terminal=True, width=1_000, markup=False, emoji=False, highlight=False, color_system=None
    )
    WAYS[way](output)
    text = written.getvalue()
    assert not acted_on(text) & set("\x07\x9b\u202e\u2066\x7f\x08\t\u2028")
    assert "\x1b[31m" not in text
    assert SHOWN[1] in text


def test_an_arn_is_shown_as_it_is():
    written = io.StringIO()
    output = Output(as_json=False)
    output.console.file, output.console.width = written, 1_000
    output.say(ARN)
    views.show_status(
        output,
        {
            "queues": [{"name": ARN, "visible": 0, "in_flight": 0}],
            "consumer": {"chosen": ARN, "mapping_state": ARN, "desired_count": 0, "running_count": 0},
            "runs_by_state": {},
            "runs_by_consumer": {},
            "merchants": {},
            "snapshots": {},
        },
    )
    assert written.getvalue().count(ARN) == 4


def test_a_document_for_programs_holds_the_value_and_nothing_that_a_terminal_acts_on(capsys):
    value = {HOSTILE: [HOSTILE, "\udc80 \U000e0001 caf\u00e9 日本"]}
    Output(as_json=True).document(value)
    written = capsys.readouterr().out
    assert json.loads(written) == value
    assert acted_on(written) == {"\n"}
    assert "caf\u00e9 日本" in written


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (OperatorError("CODE_OF_IT", HOSTILE, HOSTILE), 1),
        (PermanentError(ErrorCode.OCR_DOCUMENT_INVALID, value=HOSTILE, rule="r", way_out="w"), 1),
        (HOSTILE, 1),
        (EngineError(HOSTILE), 2),
    ],
)
def test_an_error_is_shown_literally_and_only_those_of_several_lines_have_several(capsys, error, lines):
    options.complain(error)
    written = capsys.readouterr().err
    assert acted_on(written) == {"\n"}
    assert written.count("\n") == lines
    assert all(line.startswith("    ") for line in written.splitlines()[1:])


def test_lines_are_indented_and_tabs_become_blanks():
    assert visible_lines("a\n\tb\r\nc\x1b") == "a\n            b\\r\n    c\\x1b"


def test_json_keeps_its_own_line_breaks():
    assert visible_json('{\n "a\x9b": "\u202e"\n}') == '{\n "a\\u009b": "\\u202e"\n}'


SPEAKS = """
import sys
from pathlib import Path
from ops.console import Output

output = Output(as_json=False, goes_on=sys.argv[1] == "goes on")
for number in range(20_000):
    output.say(f"line {number}")
Path(sys.argv[2]).write_text("done")
"""


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_command_that_changes_something_goes_on_when_its_reader_has_gone(tmp_path, goes_on):
    done = tmp_path / "done"
    words = [sys.executable, "-c", SPEAKS, "goes on" if goes_on else "ends", str(done)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line 0\n"
        process.stdout.close()
        assert process.wait(60) == (0 if goes_on else 1)
        assert process.stderr.read() == b""
    assert done.exists() == goes_on


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        *((None, "-"), (0.4, "0 s"), (59, "59 s"), (59.9, "59 s"), (61, "1 min"), (3_599, "59 min"), (3_600, "1.0 h")),
        *((5_400, "1.5 h"), (86_399, "23.9 h"), (86_400, "1.0 d"), (172_800, "2.0 d")),
    ],
)
def test_ages_are_told_in_their_unit(seconds, told):
    assert age(seconds) == told
