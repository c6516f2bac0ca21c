"""Which tests run, and in what order; and the fixtures of more than one package.

Those that take longest come first, so that no worker waits for one at the end.

The Makefile lets xdist keep this order (``--no-loadscope-reorder``). What is marked ``long`` repeats, with other steps,
what a shorter test shows; ``make torture`` runs it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Imported where they are used: most test files need none of them.
if TYPE_CHECKING:
    from ops.local.emulator import Emulator
    from tests.operations.published import Shop

# A process that has served gRPC, for a policy pack, starts others afterwards. Once a child was aborted; its log had
# only gRPC's "epoll_wait error: Bad file descriptor" (grpcio 1.85.1). No child here needs gRPC's handlers of a fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
LONG = bool(os.environ.get("LONG_TESTS"))

SLOWEST_FIRST = (
    "engine/test_stack.py",
    "engine/test_interruptions.py",
    "engine/test_same_rules.py",
    "switching/test_switch.py",
    "switching/test_switch_command.py",
    "compaction/torture/test_kills.py",
    "switching/test_load.py",
    "signals/test_signals.py",
    "end_to_end/test_rights.py",
    "end_to_end/test_thread.py",
    "end_to_end/test_openai.py",
    "switching/test_hybrid.py",
    "compaction/torture/test_mishaps.py",
    "local/test_stack.py",
    "compaction/test_machine.py",
    "operations/test_operations.py",
    "compaction/test_merge.py",
    "compaction/test_poison.py",
    "policy/test_bad_input.py",
    "policy/test_rules.py",
    "guard/test_adoption.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort, among the rest the order stays; and leave out the long ones."""

    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((number for number, name in enumerate(SLOWEST_FIRST) if path.endswith(name)), len(SLOWEST_FIRST))

    items.sort(key=place)
    for item in items if not LONG else ():
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="of the long list, which `make torture` runs"))


@pytest.fixture
def aws() -> Iterator[None]:
    """AWS is moto, in this process; moto also sets credentials that belong to nobody."""
    from moto import mock_aws

    with mock_aws():
        yield


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Emulator]":
    """One emulator for the tests of a file."""
    from tests.world import running_emulator

    with running_emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture(scope="module")
def endpoint(emulator: "Emulator") -> str:
    """The emulator's address."""
    return emulator.endpoint


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of published versions are kept for the next test."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def shop(
    aws: None, tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Shop":
    """A bucket with versions, a table with runs, and the command."""
    from tests.operations.published import open_shop

    return open_shop(tmp_path, built, monkeypatch, capsys)
