"""A long module says at its head why it is one; else nobody asks whether it should be two."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = (
    "compaction_handler",
    "compaction_worker",
    "embed_lambda",
    "one_consumer",
    "ops",
    "pipeline",
    "stack",
    "upload_images",
)
LONG = 300
"""Lines."""
MODULES = [path for room in ROOMS for path in sorted((PROJECT / room).rglob("*.py"))]


@pytest.mark.parametrize("path", [path for path in MODULES if len(path.read_text().splitlines()) > LONG], ids=str)
def test_a_long_module_says_why_it_is_one(path):
    words = (ast.get_docstring(ast.parse(path.read_text())) or "").lower()
    assert "longer than most" in words
