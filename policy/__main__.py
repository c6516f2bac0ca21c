"""What Pulumi's host runs. Building the pack serves it and blocks for ever, so nothing else lives here."""

import sys
from pathlib import Path

from pulumi_policy import PolicyPack

# The host runs this folder by its path; the package is found beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from policy.pack import NAME, policies

PolicyPack(name=NAME, policies=policies())
