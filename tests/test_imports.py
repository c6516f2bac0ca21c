"""What is imported before it is needed. Times differ from machine to machine; what is imported does not.

A command line that takes two seconds to say how it is called is a command line that people stop asking.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from ops.commands import options
from pipeline.contracts import limits
from stack import aws
from tests.program.engine import PROJECT

COMMANDS = Path(options.__file__).parent

# Pulumi's SDK has modules that are prepared and not imported; to look at one is to import it.
LOADED = "[name for name, module in sys.modules.items() if type(module).__name__ != '_LazyModule']"
SHOW = f"import json; print(json.dumps({LOADED}))"
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
HELP_NEEDS = {
    *("ops", "upload_images"),
    *("annotated_doc", "attr", "markdown_it", "mdurl", "pygments", "rich", "shellingham", "typer"),
}
COMMAND_MODULES = {"ops.cli", "ops.commands", *(f"ops.commands.{path.stem}" for path in COMMANDS.glob("[a-z]*.py"))}
TYPER_PARSES_WITH = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}

PREVIEW = """
import sys
from types import ModuleType
from tests.program.engine import run_program

run_program({"embedder": "openai"}, preview=True)
services = {name: module for name, module in sys.modules.items() if name.count(".") == 1}
whole = [name for name, module in services.items() if type(module) is ModuleType and hasattr(module, "__path__")]
assert not [name for name in whole if name.startswith("pulumi_aws.")], whole
"""
PROGRAM_NEEDS = {
    *("compaction_handler", "compaction_worker", "embed_lambda", "one_consumer", "pipeline", "stack"),
    *("tests", "upload_images"),
    *("pulumi", "pulumi_aws", "pulumi_docker_build", "dill", "google", "grpc", "opentelemetry", "yaml"),
    *("cython_runtime", "packaging", "parver", "semver", "six"),
    *TYPER_PARSES_WITH,
}
AWS_MODULES = 120
"""Of the SDK, at most; the services as wholes have 500."""


LOCAL_ENGINE = ("ops.local", "ops.stacks.local", "ops.stacks.local_view", "ministack")
ABOUT_THIS_MACHINE = {
    *("ops", "ops.stacks", "ops.stacks.by_name", "ops.cli", "ops.demo", "ops.documentation"),
    *("ops.page", "ops.page.__main__", "ops.page.serving"),
}
"""Modules of ops/ that the contract does not list, beside the commands and those of the prefixes below."""
ASK_NO_ACCOUNT = ("ops.cost.",)
"""``receipts cost`` evaluates the program in this process and asks no account."""
ON_AWS = """
import sys
from ops.errors import OperatorError
from ops.stacks import account, account_view, by_name

account.pulumi_stack = lambda name: (_ for _ in ()).throw(OperatorError("STACK_UNKNOWN", name, "none"))
for ask in (by_name.connect, by_name.switchable, by_name.view):
    try:
        ask("dev")
    except OperatorError as error:
        assert error.code == "STACK_UNKNOWN"
    else:
        raise AssertionError(ask)
from ops.switching import procedure
from ops.watching import gathering, terminal
from ops.doctor import looking
"""


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
    assert {name for name in modules if name.startswith("ops.")} == COMMAND_MODULES


def test_the_help_and_mistyped_options_of_every_command_import_no_more_than_typer_needs():
    modules = imported(EVERY_HELP)
    assert packages(modules) <= HELP_NEEDS | TYPER_PARSES_WITH
    assert {name for name in modules if name.startswith("ops.")} == COMMAND_MODULES


def below(name: str, packages: Iterable[str]) -> bool:
    """Whether a module is one of these packages or in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_a_stack_on_aws_is_reached_switched_and_watched_without_the_local_engine():
    assert [name for name in imported(ON_AWS) if below(name, LOCAL_ENGINE)] == []


def test_every_module_of_the_commands_is_kept_from_the_local_engine_or_is_about_this_machine():
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (wall,) = [contract for contract in contracts if "ops.local" in contract.get("forbidden_modules", ())]
    modules = {
        ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
        for path in (PROJECT / "ops").rglob("*.py")
    }
    others = {name for name in modules if not below(name, [*wall["source_modules"], *LOCAL_ENGINE])}
    others -= {name for name in others if name.startswith(ASK_NO_ACCOUNT)} | {"ops.cost"} | COMMAND_MODULES
    assert others == ABOUT_THIS_MACHINE - COMMAND_MODULES


STATUS = """
import sys
from pathlib import Path
from ops import console, reporting
from ops.target import Target

keys = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
target = Target(outputs={}, client_options=keys, cache_directory=Path())
[target.client(service).close() for service in ("dynamodb", "s3", "sqs")]
"""
STATUS_DOES_WITHOUT = {"boto3", "s3transfer", "numpy", "pipeline.contracts.messages", "pipeline.contracts.ocr"}


def test_status_imports_no_contracts_of_documents_and_nothing_that_transfers_files():
    modules = imported(STATUS)
    assert {"botocore.session", "pipeline.contracts.run"} <= modules
    assert modules & (STATUS_DOES_WITHOUT | {"rich.live", "rich.progress"}) == set()


def test_the_program_imports_neither_numbers_nor_clients_and_of_the_sdk_what_it_uses():
    modules = imported(PREVIEW)
    assert packages(modules) <= PROGRAM_NEEDS
    sdk = [name for name in modules if name.startswith("pulumi_aws")]
    assert AWS_MODULES / 2 < len(sdk) <= AWS_MODULES


def test_what_the_program_imports_of_the_sdk_is_compiled_when_it_is_installed():
    subprocess.run([sys.executable, PROJECT / ".ci" / "bytecode"], check=True)
    show = f"print(*(sys.modules[name].__cached__ for name in {LOADED} if name.startswith('pulumi')))"
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": ""}
    command = [sys.executable, "-B", "-c", PREVIEW + show]
    files = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()
    assert len(files) > AWS_MODULES / 2
    assert [file for file in files if not Path(file).exists()] == []


SDK = """
import sys
from types import ModuleType
import pulumi_aws
from stack import aws

assert aws.sqs.Queue is aws.sqs.Queue
assert not isinstance(sys.modules.get("pulumi_aws.sqs.queue_policy"), ModuleType)
assert aws.sqs is pulumi_aws.sqs is sys.modules["pulumi_aws.sqs"]
# A name that is in no module called after it: the whole service is imported, and nothing of it twice.
queue = aws.lambda_.Function
assert aws.lambda_.Runtime.PYTHON3D12.value == "python3.12"
assert type(aws.lambda_) is ModuleType
assert aws.lambda_.Function is queue
# What somebody has imported as a whole stays what it is.
import pulumi_aws.mq
pulumi_aws.mq.Broker
assert aws.service("mq") is sys.modules["pulumi_aws.mq"]
for missing in (lambda: aws.sqs.Quue, lambda: aws.mq):
    try:
        missing()
    except AttributeError:
        continue
    raise AssertionError("no error")
"""


def test_a_service_imports_a_class_from_its_own_module_and_the_whole_only_when_it_must():
    imported(SDK)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("VpcEndpoint", "vpc_endpoint"),
        ("VpcEndpointArgs", "vpc_endpoint"),
        ("BucketV2", "bucket_v2"),
        ("get_role_output", "get_role"),
        ("outputs", "outputs"),
    ],
)
def test_a_name_is_looked_for_where_the_sdk_keeps_it(name, first):
    assert first in aws.places(name)


def test_the_largest_receipt_number_is_that_of_the_contract():
    assert options.LARGEST_INTEGER == limits.LARGEST_INTEGER
