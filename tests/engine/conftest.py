"""The CLI, or the reason why these tests are skipped; a small stack that the real engine keeps."""

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.local.engines.cli_process import find_cli
from tests.engine.small import RealStack


@pytest.fixture(scope="session", autouse=True)
def cli() -> Path:
    found = find_cli()
    if found is None:
        pytest.skip("the Pulumi CLI is neither on the PATH nor in this project's cache: `make engine` builds it")
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What an engine that was killed leaves open is no fault of these tests; see ``_leavings_of_killed_engines``."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))


@pytest.fixture(scope="module", autouse=True)
def _leavings_of_killed_engines() -> Iterator[None]:
    """Pulumi's Automation API leaves loops, sockets and pipes of an engine that was killed: they are collected here.

    Else the warning of them comes out in a test of another file.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def real(tmp_path: Path) -> RealStack:
    return RealStack(tmp_path)
