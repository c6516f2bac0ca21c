"""Makes docs/status.svg, docs/watch.svg and docs/search.svg from the running local stack, as a terminal shows them.

``receipts local up``, ``receipts upload samples/*.json``, then ``make stills``. The receipts are the samples, which are
made up. Rich draws what the commands themselves write; times and versions are those of the moment.
"""

import io
import sys
from collections.abc import Callable
from unittest.mock import patch

from rich.console import Console

from ops import cli, console
from ops.commands.options import view
from ops.watching.gathering import Watcher
from ops.watching.terminal import frame
from tests.program.engine import PROJECT

WIDTHS = {"status": 78, "watch": 110, "search": 110}
CALLS = {"status": ["status"], "search": ["search", "oat milk"]}
LARGEST_BYTES = 120_000
FONT = "@font-face"


def recording(width: int) -> tuple[Console, Callable[..., Console]]:
    """A console of so many columns that keeps what is written, and what makes a command write to it."""
    kept = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, highlight=False, markup=False, emoji=False
    )
    return kept, lambda **_: kept


def without_fonts(svg: str) -> str:
    """The same without fonts of another host: a reader's own monospaced font is used."""
    while FONT in svg:
        start = svg.index(FONT)
        svg = svg[:start] + svg[svg.index("}", start) + 1 :]
    return svg


def write(kept: Console, name: str, title: str) -> None:
    """Write a picture, unless it has become too large to look at in a repository."""
    svg = without_fonts(kept.export_svg(title=title, unique_id=name))
    if len(svg) > LARGEST_BYTES:
        sys.exit(f"{name}.svg has {len(svg)} bytes, and at most {LARGEST_BYTES} are wanted")
    (PROJECT / "docs" / f"{name}.svg").write_text(svg)


def main() -> None:
    """Run the commands and write the pictures."""
    for name, words in CALLS.items():
        kept, make = recording(WIDTHS[name])
        with patch.object(console, "Console", make), patch.object(sys, "argv", ["receipts", *words]):
            try:
                cli.main()
            except SystemExit as ended:
                if ended.code:
                    raise
        write(kept, name, f"receipts {' '.join(words)}")
    # Redrawing a screen is cursor movements, which are no text: this is one of its frames.
    kept, _ = recording(WIDTHS["watch"])
    with Watcher(view("local")) as watcher:
        kept.print(frame(watcher.look(), WIDTHS["watch"]))
    write(kept, "watch", "receipts watch")


if __name__ == "__main__":
    main()
