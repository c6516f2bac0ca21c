"""Serves the page of one local stack until SIGTERM: ``python -m ops.page STATE_DIRECTORY PORT``."""

import sys
from pathlib import Path

from ops.page.serving import serve


def main() -> None:
    """Serve."""
    serve(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
