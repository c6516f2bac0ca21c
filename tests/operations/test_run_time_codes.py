"""The table of run-time codes is what the code does; a person who looks one up at night acts on what it says."""

import ast
import re
from collections import defaultdict

from ops.documentation import PROJECT_DIRECTORY
from ops.run_time_codes import RUN_TIME_CODES
from pipeline.errors import ErrorCode
from stack.alarm_rules import ALARMS

COURSES = {"PermanentError": "permanent", "RetryableError": "retried"}
ROOMS = ("pipeline", "upload_images", "embed_lambda", "compaction_worker", "compaction_handler", "stack", "ops")
OPERATIONS = (PROJECT_DIRECTORY / "docs" / "operations.md").read_text()


def raised() -> dict[str, set[str]]:
    """Code to how it is raised, wherever it is."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (path for room in ROOMS for path in (PROJECT_DIRECTORY / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in COURSES and node.args:
                code = node.args[0]
                if (
                    isinstance(code, ast.Attribute)
                    and isinstance(code.value, ast.Name)
                    and code.value.id == "ErrorCode"
                ):
                    found[code.attr].add(COURSES[node.func.id])
    return found


def test_every_code_is_in_the_table_and_no_other_in_the_order_of_the_code():
    assert list(RUN_TIME_CODES) == list(ErrorCode)


def test_what_the_table_says_of_a_code_is_how_it_is_raised():
    courses = raised()
    for code, advice in RUN_TIME_CODES.items():
        assert courses.get(code, {"recorded"}) == {advice.course}, code


def test_operations_holds_each_alarm_and_each_code_once_and_nothing_else():
    alarms, codes = OPERATIONS.split("\n## Codes\n")
    assert re.findall(r"^### `([\w-]+)`$", alarms, flags=re.MULTILINE) == [rule.name for rule in ALARMS]
    assert re.findall(r"^\| `(\w+)` \|", codes, flags=re.MULTILINE) == list(ErrorCode)
