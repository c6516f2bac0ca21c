"""The CLI, or the reason why these tests are skipped; a small stack that the real engine keeps."""

from pathlib import Path

import pytest

from ops.local.engines.cli_process import find_cli
from tests.engine.small import RealWorld


@pytest.fixture(scope="session", autouse=True)
def cli() -> Path:
    found = find_cli()
    if found is None:
        pytest.skip("the Pulumi CLI is neither on the PATH nor in this project's cache: `make engine` builds it")
    return found


@pytest.fixture
def real(tmp_path: Path) -> RealWorld:
    return RealWorld(tmp_path)
