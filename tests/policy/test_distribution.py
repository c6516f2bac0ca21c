"""The guard as a distribution of its own, in somebody else's hands: it needs nothing that it does not name."""

import ast
import re
import sys
import tomllib

import pytest
import yaml

from one_consumer import VERSION
from one_consumer.pack import installed
from tests.program.engine import PROJECT

GUARD = PROJECT / "one_consumer"
DISTRIBUTIONS = {"google": "protobuf", "grpc": "grpcio", "pulumi": "pulumi", "yaml": "PyYAML", "boto3": "boto3"}
COMES_WITH = {"botocore": "boto3"}
NEEDED_BY = {"pack": ("pack",), "audit": ("audit", "live")}
"""An extra, and the folders that it is for."""


def imported(folder: str) -> set[str]:
    """The distributions that a folder imports, also where it does so only when it is called."""
    names = set()
    for path in (GUARD / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    third_party = names - sys.stdlib_module_names - {"one_consumer"}
    return {DISTRIBUTIONS[COMES_WITH.get(name, name)] for name in third_party}


def project() -> dict:
    return tomllib.loads((GUARD / "pyproject.toml").read_text())


def test_an_extra_is_what_its_folders_import_and_nothing_else() -> None:
    for extra, folders in NEEDED_BY.items():
        required = {re.split(r"[<>=]", line)[0] for line in project()["project"]["optional-dependencies"][extra]}
        assert set().union(*map(imported, folders)) == required, extra


def test_every_package_is_in_the_wheel() -> None:
    folders = {str(path.parent.relative_to(PROJECT)).replace("/", ".") for path in GUARD.rglob("__init__.py")}
    assert set(project()["tool"]["setuptools"]["packages"]) == folders


def test_a_pack_folder_for_pulumis_host_names_this_environment_and_version(tmp_path) -> None:
    installed.write_folder(tmp_path)
    described = yaml.safe_load((tmp_path / "PulumiPolicy.yaml").read_text())
    assert described["version"] == VERSION
    assert described["runtime"] == {"name": "python", "options": {"virtualenv": sys.prefix}}
    assert (tmp_path / "requirements.txt").read_text() == f"one-consumer[pack]=={VERSION}\n"


def test_a_pack_whose_extra_is_missing_says_so_before_pulumi_fails_to_start_it(monkeypatch) -> None:
    monkeypatch.setattr(installed, "NEEDED", ("no_such_package",))
    with pytest.raises(installed.PackNotFoundError, match=r"no_such_package.*one-consumer\[pack\]"):
        installed.executable()
