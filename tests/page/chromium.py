"""The Chromium that is installed on this machine, if one is; ``make browser`` installs Debian's."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
OPTIONS = ["--no-sandbox"] if os.geteuid() == 0 else []
"""Root in a container has no user namespaces, and Chromium's own sandbox cannot start there."""
