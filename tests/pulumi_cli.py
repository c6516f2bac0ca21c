"""Where a test finds the real Pulumi CLI: on the PATH, or where ``make engine`` puts it."""

import os
import shutil
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "receipts"
FOUND = [*([found] if (found := shutil.which("pulumi")) else []), *map(str, sorted(CACHE.glob("pulumi-*/bin/pulumi")))]
"""Paths, the preferred one first; empty where there is none."""
