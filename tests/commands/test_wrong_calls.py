"""Every command, called wrongly: it ends with a code, a rule and a way out, for people and for programs.

A failure leaves somebody with a traceback, a wrong exit code, or a program with text that is no JSON.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ops import cli
from tests.commands.conftest import Run
from tests.operations.published import Receipt, Shop

IMAGE = "7c1f5a20-3b64-4e8d-9a10-000000000001"
SAMPLE = str(Path(__file__).resolve().parents[2] / "samples" / "greenleaf-1.json")
CALLS: dict[str, list[str]] = {
    "audit": [],
    "cost": [],
    "correct": [IMAGE, "1", "--merchant", "A"],
    "dead-letters discard": ["--all", "--yes"],
    "dead-letters list": [],
    "dead-letters retry": ["--all"],
    "dead-letters show": ["3f2a3f2a"],
    "demo": [],
    "doctor": [],
    "export": ["--output", "export"],
    "local down": [],
    "local page": [],
    "local status": [],
    "local up": [],
    "logs": [],
    "preflight": [],
    "rebuild": ["--collection", "lines"],
    "reconcile": [],
    "remove": [IMAGE, "1"],
    "resolve": [],
    "search": ["oat milk"],
    "send": [],
    "show": [IMAGE, "1"],
    "status": [],
    "switch": ["ecs"],
    "upload": [SAMPLE],
    "watch": [],
}
"""Every command with what it needs to be called rightly."""
WITHOUT_A_STACK = {"cost", "demo", "doctor", "local down", "local status", "local up", "preflight"}
"""Those that need none; each has tests of its own."""
ERROR = re.compile(r"(?P<code>[A-Z]{3,}(_[A-Z]+)*): (?P<message>.+)\. Way out: (?P<way_out>.+)\.")


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(words), command
        return
    for name, item in below.items():
        yield from leaves(item, (*words, name))


TREE = dict(leaves(typer.main.get_command(cli.application)))
CHOICES = [
    (name, parameter.opts[0])
    for name, command in TREE.items()
    for parameter in command.params
    if parameter.type_descriptor.is_choice and parameter.opts[0].startswith("--")
]
NUMBERS = [
    (name, parameter.opts[0])
    for name, command in TREE.items()
    for parameter in command.params
    if parameter.type_descriptor.annotation in (int, float)
]


def refused(run: Run, *words: str) -> str:
    """The code with which a call is refused, the same for people and for programs."""
    status, out, err = run(*words)
    assert (status, out) == (1, ""), err
    told = ERROR.fullmatch(err.strip())
    assert told, err
    status, out, err = run(*words, "--json")
    error = json.loads(out)["error"]
    assert set(error) == {"code", "message", "way_out"}
    assert all(error.values())
    assert (status, error["code"]) == (1, told["code"])
    assert f"{error['code']}: {error['message']}. Way out: {error['way_out']}." == err.strip()
    return error["code"]


def misused(run: Run, *words: str) -> str:
    """What is wrong with how a command was called, the same for people and for programs."""
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert "Error" in err
    status, out, _ = run(*words, "--json")
    error = json.loads(out)["error"]
    assert (status, error["code"]) == (2, "USAGE")
    assert "--help" in error["way_out"]
    assert "Value error" not in err + error["message"]
    return error["message"]


def test_the_whole_tree_is_called():
    assert set(TREE) == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_no_text_of_the_help_is_taken_for_markup(name):
    # What stands in square brackets would be a style to Rich, and missing from the screen.
    texts = (TREE[name].help, *(getattr(parameter, "help", None) for parameter in TREE[name].params))
    assert [text for text in texts if text and "[" in text] == []


@pytest.mark.parametrize("name", CALLS)
def test_an_option_that_does_not_exist_is_an_error_of_usage(run, name):
    assert "--no-such-option" in misused(run, *name.split(), *CALLS[name], "--no-such-option")


@pytest.mark.parametrize(("name", "option"), CHOICES)
def test_a_value_that_is_none_of_the_choices_is_an_error_of_usage(run, name, option):
    assert "nonsense" in misused(run, *name.split(), *CALLS[name], option, "nonsense")


@pytest.mark.parametrize(("name", "option"), NUMBERS)
@pytest.mark.parametrize("value", ["nonsense", "nan", "inf", "-inf", "-1", "1e400", "9" * 5_000])
def test_a_number_that_is_not_taken_is_told_with_its_value_the_rule_and_a_way_out(run, name, option, value):
    if option.startswith("--"):
        words = (*name.split(), *CALLS[name], f"{option}={value}")
    else:
        image, receipt, *rest = CALLS[name]
        assert (image, receipt) == (IMAGE, "1")
        words = (*name.split(), *rest, IMAGE, "--", value)
    message = misused(run, *words)
    assert option.lower() in message.lower()
    assert value[:60] in message
    rule = re.search(r"Rule: (?:a|a whole) number from (\S+) to (\S+)$", message)
    assert rule, message
    assert re.search(r"example -?[0-9.]+;", json.loads(run(*words, "--json")[1])["error"]["way_out"])
    assert "Way out: give such a number" in " ".join(run(*words)[2].replace("│", " ").split())
    assert "None" not in rule.group()


@pytest.mark.parametrize("name", [name for name, words in CALLS.items() if words and name not in ("upload",)])
def test_what_is_required_and_missing_is_told(run, name):
    if name.startswith("dead-letters") and name != "dead-letters show":
        assert refused(run, *name.split()) == "SELECTION_EMPTY"
    else:
        assert "Missing" in misused(run, *name.split())


@pytest.mark.parametrize("name", sorted(set(CALLS) - WITHOUT_A_STACK))
def test_without_a_stack_a_command_says_so(run, name):
    assert refused(run, *name.split(), *CALLS[name]) == "STACK_NOT_RUNNING"


@pytest.mark.parametrize(
    "name", [name for name in CALLS if any("--stack" in item.opts for item in TREE[name].params) and name != "doctor"]
)
def test_a_stack_whose_name_nobody_knows_is_told_with_its_name(run, name):
    words = (*name.split(), *CALLS[name], "--stack", "lcoal")
    assert refused(run, *words) == ("CONFIGURATION_UNREADABLE" if name in ("cost", "preflight") else "PULUMI_MISSING")
    assert "lcoal" in run(*words)[2]


@pytest.mark.parametrize("words", [["nothing"], ["local", "nothing"], ["dead-letters", "nothing"]])
def test_a_command_that_does_not_exist_is_an_error_of_usage(run, words):
    assert "No such command 'nothing'" in misused(run, *words)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["logs", "--since", "yesterday"], "SINCE_INVALID"),
        (["logs", "--receipt", "1"], "IMAGE_MISSING"),
        (["dead-letters", "list", "--code", "NOTHING"], "CODE_UNKNOWN"),
        (["dead-letters", "show", "1"], "MESSAGE_ID_INVALID"),
    ],
)
def test_what_is_wrong_in_itself_is_told_before_a_stack_is_looked_for(run, words, code):
    assert refused(run, *words) == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", "ffffffff", "1"], "IMAGE_UNKNOWN"),
        (["show", "nonsense", "1"], "IMAGE_INVALID"),
        (["show", IMAGE.replace("1", "2"), "1"], "RECEIPT_UNKNOWN"),
        (["show", IMAGE, "7"], "RECEIPT_UNKNOWN"),
        (["remove", "ffffffff", "1"], "IMAGE_UNKNOWN"),
        (["remove", IMAGE, "7"], "RECEIPT_UNKNOWN"),
        (["correct", "ffffffff", "1", "--merchant", "A"], "IMAGE_UNKNOWN"),
        (["correct", IMAGE, "7", "--merchant", "A"], "RECEIPT_UNKNOWN"),
        (["correct", IMAGE, "1", "--merchant", " "], "MERCHANT_EMPTY"),
        (["search", "  "], "QUERY_EMPTY"),
        (["search", "milk", "--merchant", "NOBODY"], "MERCHANT_UNKNOWN"),
        (["search", "milk", "--image", "ffffffff"], "IMAGE_UNKNOWN"),
        (["search", "milk", "--image", IMAGE, "--receipt", "7"], "RECEIPT_UNKNOWN"),
        (["search", "milk", "--collection", "words"], "NOTHING_PUBLISHED"),
        (["export", "--output", "export", "--collection", "words"], "NOTHING_PUBLISHED"),
        (["logs", "--image", "ffffffff"], "IMAGE_UNKNOWN"),
    ],
)
def test_an_id_that_nothing_has_is_told(shop: Shop, words, code):
    receipt = Receipt(image=IMAGE, merchant="GREENLEAF", texts=["GREENLEAF", "OAT MILK"])
    shop.publish(receipt)
    shop.record(receipt)
    assert refused(shop.command, *words) == code


def test_a_command_that_was_interrupted_says_so_to_programs_too(run, monkeypatch):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ops.commands.options.connect", interrupt)
    status, out, err = run("status", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (130, "INTERRUPTED")
    assert "interrupted" in err


def test_the_version_is_told(run):
    status, out, _ = run("--version")
    assert (status, out.split(",")[0]) == (0, "receipts 0.1.0")


def test_down_with_nothing_there_and_status_say_so(run):
    nothing = "the stack was not up, so nothing was stopped; there is none on this machine\n"
    assert run("local", "down")[:2] == (0, nothing)
    assert run("local", "down", "--destroy")[1] == "there is no stack on this machine; nothing to do\n"
    assert json.loads(run("local", "down", "--json")[1]) == {"stopped": False, "destroyed": False}
    assert run("local", "status")[1].startswith("the stack is not up; `receipts local up` starts it\n")


@pytest.mark.parametrize("words", [("list",), ("discard", "--all"), ("retry", "--all"), ("show", "3f2a3f2a")])
def test_wrong_calls_leave_no_file_behind(run, tmp_path, words):
    run("dead-letters", *words)
    assert list(tmp_path.iterdir()) == []
