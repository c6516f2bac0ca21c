"""The pack as a folder of its own, in somebody else's hands: it needs nothing that it does not name."""

import ast
import re
import sys

import yaml

from policy.pack import VERSION
from tests.program.engine import PROJECT

DISTRIBUTIONS = {"google": "protobuf", "grpc": "grpcio", "pulumi": "pulumi", "yaml": "PyYAML"}


def test_the_packs_requirements_are_what_it_imports_and_nothing_else() -> None:
    imported = set()
    for path in (PROJECT / "policy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    third_party = imported - sys.stdlib_module_names - {"policy"}
    lines = (PROJECT / "policy" / "requirements.txt").read_text().splitlines()
    required = {re.split(r"[<>=]", line)[0] for line in lines if line and not line.startswith("#")}
    assert {DISTRIBUTIONS[name] for name in third_party} == required


def test_the_pack_says_the_version_of_its_project_file() -> None:
    project = yaml.safe_load((PROJECT / "policy" / "PulumiPolicy.yaml").read_text())
    assert project["version"] == VERSION
