"""What the shell completes: quick, silent, and never an error, whatever is on the disk."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.commands import completion
from ops.local import paths
from pipeline.collections.layout import ROWS_NAME
from pipeline.errors import ErrorCode
from tests.operations.published import Receipt, build

ONE, TWO = "7c1f5a20-3b64-4e8d-9a10-000000000001", "0d9e1f42-11aa-4bcd-8e01-aabbccddeeff"
RECEIPTS = (
    Receipt(image=ONE, merchant="GREENLEAF MARKET", texts=["OAT MILK"], number=1),
    Receipt(image=ONE, merchant="Greenleaf Garden", texts=["SOIL"], number=12),
    Receipt(image=TWO, texts=["BOLTS"], number=2),
)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of the stack on this machine, empty."""
    monkeypatch.setattr(paths, "DEFAULT_STATE_DIRECTORY", tmp_path / "local")
    monkeypatch.setattr(paths, "SOURCE", tmp_path)
    return tmp_path / "local"


@pytest.fixture
def published(state: Path, tmp_path: Path) -> Path:
    built = tmp_path / "built"
    built.mkdir()
    work, _, _ = build(built, RECEIPTS, "lines")
    version = state / "search" / "lines" / "versions" / "1"
    version.mkdir(parents=True)
    shutil.copy(work / ROWS_NAME, version / ROWS_NAME)
    return version / ROWS_NAME


def typed(**parameters: Any) -> Any:
    return SimpleNamespace(params=parameters)


def test_images_receipts_and_merchants_of_the_published_version_are_proposed(published):
    assert completion.images(typed(), "") == sorted((ONE, TWO))
    assert completion.images(typed(), ONE[:4].upper()) == [ONE]
    assert completion.receipts(typed(image=ONE[:8]), "") == ["1", "12"]
    assert completion.receipts(typed(image=ONE[:8]), "12") == ["12"]
    assert completion.merchants(typed(), "green") == ["greenLEAF MARKET", "greenleaf Garden"]
    assert completion.merchants(typed(), "x") == []


def test_a_character_that_the_database_gives_a_meaning_finds_nothing_else(published):
    assert completion.images(typed(), "%") == []
    assert completion.merchants(typed(), "_") == []
    assert completion.merchants(typed(), "'") == []


def test_without_a_stack_nothing_is_proposed_and_nothing_is_made(state):
    for complete in (completion.images, completion.receipts, completion.merchants):
        for stack in ("local", "dev", "../../etc", ""):
            assert complete(typed(stack=stack), "") == []
    assert not state.exists()


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 200])
def test_a_file_that_is_no_database_proposes_nothing(published, content):
    published.write_bytes(content)
    assert completion.images(typed(), "") == []


def test_codes_and_stacks_are_proposed(state, tmp_path):
    (tmp_path / "Pulumi.dev.yaml").touch()
    assert completion.stacks("") == ["local", "dev"]
    assert completion.stacks("d") == ["dev"]
    assert completion.codes("message") == [ErrorCode.MESSAGE_INVALID]


def test_the_name_of_the_file_is_that_of_the_layout():
    assert completion.ROWS_NAME == ROWS_NAME


def complete(words: str) -> str:
    environment = {**os.environ, "_RECEIPTS_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    command = [sys.executable, "-c", "from ops.cli import application; application(prog_name='receipts')"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        ("receipts dead-letters re", "retry"),
        ("receipts dead-letters list --queue st", "stream"),
        ("receipts dead-letters list --code FENC", "FENCED"),
        ("receipts switch l", "lambda"),
        ("receipts status --stack loc", "local"),
        ("receipts show zzzz", ""),
    ],
)
def test_the_shell_is_told_what_fits(words, proposed):
    assert complete(words).split() == proposed.split()
