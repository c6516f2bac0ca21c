"""``python -m ops.ci.pin_image``: sets ``receipts:imageUri`` in a stack's configuration and leaves the rest as it is.

The file is edited as text: written as YAML again, it would lose its comments, and nobody could see what has changed.
"""

import argparse
import re
import sys
from pathlib import Path

from pipeline.files import replace_file

KEY = "receipts:imageUri"
BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
"""What the setting takes (``stack/settings.py``)."""


def pinned(configuration: str, image: str) -> str:
    """A ``Pulumi.<stack>.yaml`` with the image.

    Args:
        configuration: the file's text.
        image: ``<repository>@sha256:<64 hex digits>``.

    Raises:
        ValueError: the image is not named by its digest, or the file has no block ``config``.
    """
    if not BY_DIGEST.fullmatch(image):
        raise ValueError(f"{image!r} is no image by digest: <repository>@sha256:<64 hex digits>")
    lines = configuration.splitlines()
    start = next((at for at, line in enumerate(lines) if re.fullmatch(r"config:\s*(#.*)?", line)), None)
    if start is None:
        raise ValueError("there is no block `config:` to put the image into")
    end = next((at for at in range(start + 1, len(lines)) if re.match(r"[^\s#]", lines[at])), len(lines))
    entries = [re.match(r"(\s+)\S", line) for line in lines[start + 1 : end] if not line.lstrip().startswith("#")]
    indent = next((entry[1] for entry in entries if entry), "  ")
    line = f"{indent}{KEY}: {image}"
    for at in range(start + 1, end):
        if re.match(rf"\s+[\"']?{KEY}[\"']?\s*:", lines[at]):
            lines[at] = line
            break
    else:
        lines.insert(start + 1, line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Edit the file; a bad image or file is one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m ops.ci.pin_image", description="Puts an image into a stack.")
    parser.add_argument("configuration", type=Path, help="Pulumi.<stack>.yaml")
    parser.add_argument("image", help="<repository>@sha256:<digest>")
    arguments = parser.parse_args()
    try:
        replace_file(arguments.configuration, pinned(arguments.configuration.read_text(), arguments.image))
    except (ValueError, OSError) as error:
        sys.exit(f"the image is not set: {error}")


if __name__ == "__main__":
    main()
