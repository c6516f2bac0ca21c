"""What is imported before it is needed. Times differ from machine to machine; what is imported does not.

A command line that takes two seconds to say how it is called is a command line that people stop asking.
"""

import json
import subprocess
import sys

from ops import cli
from pipeline.contracts import limits

SHOW = "import json; print(json.dumps(sorted(sys.modules)))"
ROOT_HELP = """
import sys
from typer.testing import CliRunner
from ops import cli

assert CliRunner().invoke(cli.application, ["--help"]).exit_code == 0
"""
EVERY_HELP = """
import sys
from typer.main import get_command
from typer.testing import CliRunner
from ops import cli

def ask(words, command):
    for name, below in getattr(command, "commands", {}).items():
        ask([*words, name], below)
    assert CliRunner().invoke(cli.application, [*words, "--help"]).exit_code == 0, words
    assert CliRunner().invoke(cli.application, [*words, "--no-such-option"]).exit_code == 2, words

ask([], get_command(cli.application))
"""
HELP_NEEDS = {"annotated_doc", "attr", "markdown_it", "mdurl", "ops", "pygments", "rich", "shellingham", "typer"}
TYPER_PARSES_WITH = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}


def imported(program: str) -> set[str]:
    """The modules that a process of its own has imported at the end of a program."""
    done = subprocess.run([sys.executable, "-c", program + SHOW], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    """Their packages that are not Python's own."""
    names = {name.split(".")[0] for name in modules}
    return {name for name in names if not name.startswith("_")} - set(sys.stdlib_module_names)


def test_help_imports_what_shows_it_and_nothing_else():
    modules = imported(ROOT_HELP)
    assert packages(modules) <= HELP_NEEDS
    assert {name for name in modules if name.startswith("ops.")} == {"ops.cli"}


def test_the_help_and_mistyped_options_of_every_command_import_no_more_than_typer_needs():
    modules = imported(EVERY_HELP)
    assert packages(modules) <= HELP_NEEDS | TYPER_PARSES_WITH
    assert {name for name in modules if name.startswith("ops.")} == {"ops.cli"}


def test_the_largest_receipt_number_is_that_of_the_contract():
    assert cli.LARGEST_INTEGER == limits.LARGEST_INTEGER
