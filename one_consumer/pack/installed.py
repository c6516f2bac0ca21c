"""Where the installed policy pack is, for Pulumi's ``--policy-pack``. It imports nothing of the pack.

Pulumi starts an executable file as it is since its pull request 24052 of July 2026 (docs/facts.md of the repository).
An older CLI wants a folder, whose Python its own host chooses.
"""

import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from one_consumer import VERSION

NAME = "one-consumer-pack"
NEEDED = ("grpc", "pulumi", "yaml")
"""What the extra ``pack`` brings; without it Pulumi would only say that the pack did not start."""
PROJECT_FILE = """\
description: One queue, one consumer, over any stack; and the rules of SQS that AWS enforces too late.
version: {version}
runtime:
  name: python
  options:
    # The environment that the pack is installed in.
    virtualenv: {environment}
"""
PROGRAM = '''\
"""What Pulumi's host runs. It blocks until it is stopped."""

from one_consumer.pack.server import serve

serve()
'''


class PackNotFoundError(Exception):
    """The pack cannot run in this environment."""


def executable() -> Path:
    """The pack as a program.

    Raises:
        PackNotFoundError: its extra is not installed; or it is neither beside this Python nor on the PATH.
    """
    _require_extra()
    beside = shutil.which(NAME, path=sysconfig.get_path("scripts"))
    found = beside or shutil.which(NAME)
    if found is None:
        raise PackNotFoundError(f"{NAME} is not in {sysconfig.get_path('scripts')}: install one-consumer[pack] there")
    return Path(found)


def write_folder(folder: Path) -> None:
    """Write a folder that Pulumi's Python host runs with the environment of this process.

    Raises:
        PackNotFoundError: the extra is not installed.
    """
    _require_extra()
    folder.mkdir(parents=True, exist_ok=True)
    project = PROJECT_FILE.format(version=VERSION, environment=sys.prefix)
    (folder / "PulumiPolicy.yaml").write_text(project, encoding="utf-8")
    (folder / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "requirements.txt").write_text(f"one-consumer[pack]=={VERSION}\n", encoding="utf-8")


def _require_extra() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise PackNotFoundError(f"{missing[0]} is not installed: pip install 'one-consumer[pack]'")
