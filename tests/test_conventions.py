"""What keeps the tests easy to change: public questions, fixtures in conftest, one builder of the table.

A test that reaches into a private attribute breaks when nothing is broken, and a fixture that is imported by name runs
twice or not at all when somebody moves it. Each exception has its reason here.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULES = {
    path.relative_to(TESTS).as_posix(): list(ast.walk(ast.parse(path.read_text())))
    for path in sorted(TESTS.rglob("*.py"))
}
"""A file's name to all the nodes of its tree."""
PUBLIC = {"_asdict", "_exit", "_fields", "_replace"}
"""Public by their documentation: those of named tuples, and ``os._exit``."""
ASKS = {"delattr", "getattr", "hasattr", "setattr"}
"""Their words are names."""
LOCAL_STACK = "what LocalStack does around an engine, step by step: no command stops between the steps"
PULUMI = "the half of Pulumi's SDK that has no public form; these tests fail first when a version changes it"
EVERY_CALL = "botocore has no event for the calls of every client of a process"
ALLOWED = {
    "compaction/copies.py": ({"_opened", "_connection"}, "changes a database as no release would, for many tests"),
    "compaction/test_checking.py": ({"_process"}, "ends the child's input as the end of a merge does; close() kills"),
    "compaction/test_removal.py": ({"_overwrite_deleted"}, "takes away the one guard, to see what the other shows"),
    "compaction/test_search.py": ({"_directory"}, "is gone when the collection closes; no caller needs to know it"),
    "embedding/test_embedders.py": ({"_download_model_if_not_exists"}, "Chroma's download, which no test may make"),
    "end_to_end/test_rights.py": ({"_make_api_call"}, EVERY_CALL),
    "engine/live.py": ({"_config", "_engine", "_registry", "_supervisor"}, LOCAL_STACK),
    "engine/small.py": ({"_resources"}, "the engine's own state file, whose form tests/engine holds"),
    "engine/test_same_rules.py": ({"_run_pulumi_cmd_sync"}, "destroy has no option for --ignore-protect"),
    "engine/test_stack.py": ({"_engine", "_keep_settings", "_registry", "_resources"}, LOCAL_STACK),
    "guard/test_adoption.py": ({"_await_end", "_registry", "_start", "_supervisor"}, LOCAL_STACK),
    "guard/test_audit.py": ({"_make_api_call"}, EVERY_CALL),
    "local/test_runtime_interface.py": ({"_server"}, "only the function's own process is told the address"),
    "local/test_stack.py": ({"_alone", "_await_end"}, LOCAL_STACK),
    "local/test_supervisor.py": (
        {"_call", "_functions"},
        "a route that does not exist has no method, a function that fails no image",
    ),
    "operations/test_pulumi_errors.py": ({"_cmd"}, PULUMI),
    "program/engine.py": ({"_ensure_event_loop"}, PULUMI),
    "program/test_told.py": ({"_ensure_event_loop", "_server"}, PULUMI),
    "recorded_calls/sitecustomize.py": ({"_make_api_call"}, EVERY_CALL),
    "switching/test_pulumi.py": ({"_cmd"}, PULUMI),
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def own_names(module: list[ast.AST]) -> set[str]:
    """What the module itself defines or sets on ``self``: that is its own business."""
    found = {node.name for node in module if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    attributes = (node for node in module if isinstance(node, ast.Attribute))
    return found | {
        node.attr
        for node in attributes
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def reached(module: list[ast.AST]) -> Iterator[str]:
    """The private names of other objects and modules that a module uses: as attributes, imported, or as words."""
    for node in module:
        if isinstance(node, ast.Attribute):
            if not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}):
                yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and called(node).rpartition(".")[2] in ASKS:
            words = (word.value for word in node.args[:2] if isinstance(word, ast.Constant))
            yield from (part for word in words if isinstance(word, str) for part in word.split("."))


def called(node: ast.Call) -> str:
    """What is called, with what it is an attribute of: ``dynamodb.create_table``."""
    match node.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=of) | ast.Attribute(attr=of), attr=name):
            return f"{of}.{name}"
        case ast.Attribute(attr=name):
            return name
    return ""


def makes(module: list[ast.AST], name: str) -> bool:
    """Whether a module uses a function or class of that name, or with a dot before it, a method of any object."""
    method, is_method = name.removeprefix("."), name.startswith(".")
    for node in module:
        match node:
            case ast.Attribute(attr=attribute) if attribute == method:
                return True
            case ast.Call(args=[_, ast.Constant(value=word), *_]) if word == method and called(node) == "getattr":
                return True
            case ast.Call(func=ast.Name(id=function)) if function == method and not is_method:
                return True
    return False


def fixtures(module: list[ast.AST]) -> set[str]:
    """The names under which other modules could import this one's fixtures."""
    return {
        node.name
        for node in module
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(item).split("(")[0] == "pytest.fixture" for item in node.decorator_list)
    }


def test_no_test_reaches_into_what_is_private_but_for_a_reason() -> None:
    used = {
        name: names
        for name, module in MODULES.items()
        if (names := {found for found in reached(module) if is_private(found)} - own_names(module))
    }
    assert used == {name: names for name, (names, _) in ALLOWED.items()}, "ask a public question, or give the reason"


def test_no_fixture_is_imported_by_name() -> None:
    known = {f"tests.{name[:-3].replace('/', '.')}": fixtures(module) for name, module in MODULES.items()}
    assert known["tests.compaction.conftest"] == {"world"}
    for name, module in MODULES.items():
        for node in module:
            if isinstance(node, ast.ImportFrom):
                imported = {alias.name for alias in node.names} & known.get(node.module or "", set())
                assert not imported, f"{name} imports {imported}: a fixture of several files belongs in conftest.py"


@pytest.mark.parametrize(
    ("call", "homes"),
    [
        (".create_table", {"world.py"}),
        (".create_queue", {"world.py", "local/test_emulator.py"}),
        # A state machine of Hypothesis has no fixtures.
        ("mock_aws", {"conftest.py", "compaction/test_machine.py"}),
    ],
)
def test_tables_queues_and_the_simulated_aws_have_one_builder(call: str, homes: set[str]) -> None:
    assert {name for name, module in MODULES.items() if makes(module, call)} == homes


@pytest.mark.parametrize(
    "text",
    [
        *("sqs.create_queue(QueueName='q')", "boto3.client('sqs').create_queue(QueueName='q')"),
        *("clients[0].create_queue(QueueName='q')", "self.world.client('sqs').create_queue(QueueName='q')"),
        *("(a or b).create_queue()", "make = sqs.create_queue", "getattr(client, 'create_queue')(QueueName='q')"),
    ],
)
def test_a_client_is_seen_however_it_was_come_by(text: str) -> None:
    assert makes(list(ast.walk(ast.parse(text))), ".create_queue")
    assert not makes(list(ast.walk(ast.parse("create_queue(sqs, 'q'); 'create_queue'"))), ".create_queue")
