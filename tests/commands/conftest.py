"""The real command on a machine without a stack, for the tests of what it says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ops import cli
from ops.local.stack import LocalStack

Run = Callable[..., tuple[int, str, str]]
"""The words of a command to its exit code, standard output and standard error."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The real command where no stack is, no Pulumi CLI and no AWS account."""
    monkeypatch.setattr(LocalStack.__init__, "__defaults__", (tmp_path / "no stack",))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["receipts", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return command
