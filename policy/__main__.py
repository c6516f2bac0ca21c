"""What Pulumi's host runs. Serving the pack blocks until it is stopped, so nothing else lives here."""

import sys
from pathlib import Path

# The host runs this folder by its path; the package is found beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from policy.pack import serve

serve()
