"""The documents say what the code does: blocks are up to date, commands parse, codes and files exist."""

import re
from pathlib import Path

import pytest
import typer

from one_consumer.audit.judgement import Finding
from one_consumer.claim.refusals import ClaimCode
from one_consumer.live.errors import WaitCode
from one_consumer.pack.codes import Code
from ops import cli
from ops.documentation import PROJECT_DIRECTORY, documents, filled
from ops.preflight.judgement import Obstacle
from ops.reconciling.comparison import Difference
from pipeline.errors import ErrorCode
from stack.errors import RefusalCode

DOCUMENTS = documents()
NAMES = [str(path.relative_to(PROJECT_DIRECTORY)) for path in DOCUMENTS]
OPERATOR_CODE = re.compile(r'"([A-Z]{3,}(?:_[A-Z]+)+)"')
SIMULATED = {"docs/cost.md", "docs/scale.md"}
"""Half a minute of simulations; tests/cost has shorter ones."""
OTHER_WORDS = {"EMBED_NDJSON_QUEUE", "OPENAI_API_KEY", "COMPACTION_RUN", "QUEUE_REQUEST"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.long) if name in SIMULATED else path
        for path, name in zip(DOCUMENTS, NAMES, strict=True)
    ],
    ids=NAMES,
)
def test_generated_blocks_are_up_to_date(path: Path):
    text = path.read_text()
    assert filled(text) == text, "make docs"


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_command_that_is_told_exists_with_its_options(path: Path):
    root = typer.main.get_command(cli.application)
    for line in re.findall(r"(?:^ {4}|`)(receipts [^`\n#]*)", path.read_text(), flags=re.MULTILINE):
        words = line.split()[1:]
        command = root
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command is not root, line
        options = {option for parameter in command.params for option in parameter.opts}
        for word in words:
            if word.startswith("--"):
                assert word in options, line


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_code_that_is_told_exists(path: Path):
    sources = [source.read_text() for source in (PROJECT_DIRECTORY / "ops").rglob("*.py")]
    known = {
        *Obstacle,
        *ErrorCode,
        *WaitCode,
        *ClaimCode,
        *RefusalCode,
        *Finding,
        *Difference,
        *(code.name for code in Code),
    }
    known |= {code for source in sources for code in OPERATOR_CODE.findall(source)}
    told = set(re.findall(r"`([A-Z]{3,}(?:_[A-Z]+)+)`", path.read_text()))
    assert told - known - OTHER_WORDS == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_link_leads_somewhere(path: Path):
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not link.startswith("http"):
            assert (path.parent / link).exists(), link
