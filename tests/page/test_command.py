"""``receipts local page`` and ``receipts local up --page``: what they print, and where there is no stack.

A failure sends an operator to an address where nothing answers.
"""

import json
import sys
from pathlib import Path

import pytest

from ops import cli
from ops.local import stack as local_stack
from ops.local.engines.steps import Step
from ops.local.stack import LocalStack, UpResult
from ops.page import serving

ADDRESS = "http://127.0.0.1:8080/"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The ports that a page was asked for with; the stack is one in an empty directory."""
    ports: list[int | None] = []
    monkeypatch.setattr(LocalStack.__init__, "__defaults__", (tmp_path,))
    monkeypatch.setattr(serving, "open_page", lambda _, port=None: ports.append(port) or ADDRESS)
    return ports


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["receipts", "local", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_address_is_printed_for_people_and_for_programs(asked, monkeypatch, capsys):
    assert run(monkeypatch, capsys, "page") == (0, f"the page: {ADDRESS}\n", "")
    code, out, _ = run(monkeypatch, capsys, "page", "--port", "8080", "--json")
    assert (code, json.loads(out)) == (0, {"page": ADDRESS})
    assert asked == [None, 8080]
    assert run(monkeypatch, capsys, "page", "--port", "0")[0] == 2


def test_up_serves_the_page_only_when_it_is_asked_to(asked, monkeypatch, capsys):
    result = UpResult(steps=(Step(operation="same", type="t", name="n", urn="u"),), outputs={})
    monkeypatch.setattr(local_stack.LocalStack, "up", lambda *_, **__: result)
    assert json.loads(run(monkeypatch, capsys, "up", "--json")[1])["page"] is None
    assert asked == []
    assert json.loads(run(monkeypatch, capsys, "up", "--page", "--json")[1])["page"] == ADDRESS


def test_without_a_stack_there_is_no_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(LocalStack.__init__, "__defaults__", (tmp_path,))
    code, out, err = run(monkeypatch, capsys, "page")
    assert (code, out) == (1, "")
    assert err.startswith("STACK_NOT_RUNNING: ")
    assert list(tmp_path.iterdir()) == []
