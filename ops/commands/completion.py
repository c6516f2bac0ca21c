"""What the shell completes behind `receipts`: images, receipts, merchants, codes and stacks.

Completion must be quick and must never fail or write: it asks no service, and reads the version of ``lines`` that was
published or searched last on this machine. Where there is none it proposes nothing. Queues, consumers and
collections are choices, which Typer completes itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from typer import Context

from ops import LOCAL_STACK_NAME

ROWS_NAME = "rows.sqlite3"
"""As ``pipeline/collections/layout.py`` has it, which takes too long to import."""
PROPOSED = 50
BUSY_SECONDS = 0.2


def images(ctx: Context, incomplete: str) -> list[str]:
    """Image ids that begin so."""
    return _column(ctx, "image_id", "image_id", incomplete.lower())


def receipts(ctx: Context, incomplete: str) -> list[str]:
    """Numbers of the receipts of the image that was typed before."""
    image = str(ctx.params.get("image") or "").lower()
    numbers = _column(ctx, "receipt_id", "image_id", image)
    return [number for number in numbers if number.startswith(incomplete)]


def merchants(ctx: Context, incomplete: str) -> list[str]:
    """Merchants' names that begin so, in any case."""
    # Typer proposes only what begins with the very letters that were typed.
    names = _column(ctx, "merchant_name", "merchant_name", incomplete)
    return [incomplete + name[len(incomplete) :] for name in names]


def codes(incomplete: str) -> list[str]:
    """Codes of the pipeline's errors."""
    from pipeline.errors import ErrorCode

    return [code for code in ErrorCode if code.startswith(incomplete.upper())]


def stacks(incomplete: str) -> list[str]:
    """Stacks that have settings here."""
    from ops.local.paths import SOURCE

    with suppress(OSError):
        named = [path.stem.removeprefix("Pulumi.") for path in sorted(SOURCE.glob("Pulumi.*.yaml"))]
        return [name for name in dict.fromkeys((LOCAL_STACK_NAME, *named)) if name.startswith(incomplete)]
    return []


def _column(ctx: Context, column: str, begins: str, beginning: str) -> list[str]:
    """A column of the receipts of the newest version on this machine; empty when anything is wrong.

    Args:
        ctx: what was typed before.
        column: which.
        begins: the column that must begin as was typed, in any case.
        beginning: what was typed.
    """
    import sqlite3

    # LIKE would give a meaning to some characters of what was typed.
    query = (
        f"SELECT DISTINCT {column} FROM receipts WHERE lower(substr({begins}, 1, length(?1))) = lower(?1) "  # noqa: S608
        "ORDER BY 1 LIMIT ?2"
    )
    with suppress(OSError, sqlite3.Error, ValueError):
        stack = str(ctx.params.get("stack") or LOCAL_STACK_NAME)
        found = [(path.stat().st_mtime, path) for path in _versions(stack)]
        if found:
            address = f"{max(found)[1].as_uri()}?mode=ro&immutable=1"
            with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as database:
                return _texts(database.execute(query, (beginning, PROPOSED)).fetchall())
    return []


def _versions(stack: str) -> Iterator[Path]:
    """Files of rows of published versions: what a search has fetched, and what the stack on this machine published."""
    from ops.local.paths import DEFAULT_STATE_DIRECTORY, SOURCE

    if stack == LOCAL_STACK_NAME:
        yield from (DEFAULT_STATE_DIRECTORY / "search").glob(f"**/lines/**/{ROWS_NAME}")
        yield from (DEFAULT_STATE_DIRECTORY / "efs").glob(f"*/lines/**/{ROWS_NAME}")
    elif "/" not in stack and ".." not in stack:
        yield from (SOURCE / ".receipts" / "search" / stack).glob(f"**/lines/**/{ROWS_NAME}")


def _texts(rows: Sequence[Sequence[object]]) -> list[str]:
    return [str(row[0]) for row in rows]
