"""Writes a published version in plain formats: rows and texts as JSON lines, vectors as npy, and what they are.

Whoever reads the files needs no code of this project, no SQLite and no Chroma. Nothing imports an export: it is a copy
for other programs, not a backup (docs/reading.md).
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import numpy as np

from pipeline.collections.published import PublishedCollection
from pipeline.collections.vectors import NUMBER
from pipeline.errors import ErrorCode, PermanentError
from pipeline.files import PARTIAL_SUFFIX

EXPORT_FORMAT = 1
EXPORT_NAME = "export.json"
EXPORTED_ROWS = "rows.jsonl"
EXPORTED_TEXTS = "texts.jsonl"
EXPORTED_VECTORS = "vectors.npy"
TEXTS_AT_ONCE = 10_000
ROWS_AT_ONCE = 1_000
"""Rows between two reports of progress."""

OnProgress = Callable[[int, int], None]
ExportDescription = dict[str, object]


def export_version(
    published: PublishedCollection, directory: Path, on_progress: OnProgress | None = None
) -> ExportDescription:
    """Write everything a version holds; memory does not grow with its size.

    The files are written under another name beside ``directory``, which appears, whole, by a rename at the end.

    Args:
        published: the version.
        directory: where to; missing or empty. Missing parents are made.
        on_progress: called with rows, texts and vectors written, and how many there are in all.

    Returns:
        What ``export.json`` says.

    Raises:
        PermanentError: SNAPSHOT_CORRUPT when the version does not hold what its pointer counts.
        OSError: when a file cannot be written, or ``directory`` is not empty (FileExistsError); nothing is left behind.
    """
    target = directory.resolve()
    require_empty(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name that nothing else has: the remains of an export that was killed are neither used nor removed.
    partial = target.with_name(f"{target.name}.{uuid4().hex}{PARTIAL_SUFFIX}")
    partial.mkdir()
    try:
        description = _write(published, partial, on_progress)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return description


def require_empty(directory: Path) -> None:
    """Refuse a directory that holds something, or a file in its place.

    Raises:
        FileExistsError: naming it.
    """
    if directory.is_dir():
        if any(directory.iterdir()):
            raise FileExistsError(f"{directory} is not empty")
    elif directory.exists() or directory.is_symlink():
        raise FileExistsError(f"{directory} is not a directory")


def _write(published: PublishedCollection, directory: Path, on_progress: OnProgress | None) -> ExportDescription:
    pointer, total = published.pointer, published.count + 2 * published.text_count
    done = 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        if on_progress is not None:
            on_progress(done, total)

    files: dict[str, dict[str, object]] = {}
    with _hashed(directory / EXPORTED_ROWS, files) as write:
        rows = 0
        for row in published.rows():
            write(_json_line({"id": row.id, "text": row.text, "text_number": row.position, "metadata": row.metadata}))
            rows += 1
            if rows % ROWS_AT_ONCE == 0:
                report(ROWS_AT_ONCE)
        report(rows % ROWS_AT_ONCE)
    with _hashed(directory / EXPORTED_TEXTS, files) as write:
        texts = 0
        for start in range(0, published.text_count, TEXTS_AT_ONCE):
            part = published.database.rows.texts(start, min(start + TEXTS_AT_ONCE, published.text_count))
            for text in part:
                write(_json_line({"number": texts, "text": text}))
                texts += 1
            report(len(part))
    with _hashed(directory / EXPORTED_VECTORS, files) as write:
        shape = (published.text_count, published.vectors.dimensions)
        header = BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": NUMBER.str, "fortran_order": False, "shape": shape})
        write(header.getvalue())
        for _, block in published.vectors.blocks():
            write(block.tobytes())
            report(len(block))
    if (rows, texts) != (pointer.count, pointer.texts):
        raise PermanentError(
            ErrorCode.SNAPSHOT_CORRUPT,
            value=f"version {pointer.version} has {rows} rows and {texts} texts",
            rule=f"its pointer counts {pointer.count} and {pointer.texts}",
            way_out="restore the version from S3 or from a backup",
        )
    description: ExportDescription = {
        "format": EXPORT_FORMAT,
        "collection": published.collection,
        "version": pointer.version,
        "published_at": pointer.published_at.isoformat(),
        "model": pointer.model,
        "dimensions": pointer.dimensions,
        "rows": rows,
        "texts": texts,
        "files": files,
    }
    (directory / EXPORT_NAME).write_text(json.dumps(description, indent=1) + "\n", encoding="ascii")
    return description


@contextmanager
def _hashed(path: Path, files: dict[str, dict[str, object]]) -> Iterator[Callable[[bytes], None]]:
    """Write a file, and note its size and SHA-256 under its name."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:

        def write(content: bytes) -> None:
            nonlocal size
            digest.update(content)
            size += len(content)
            file.write(content)

        yield write
    files[path.name] = {"sha256": digest.hexdigest(), "bytes": size}


def _json_line(value: object) -> bytes:
    # ASCII: readers that split at every Unicode line separator, such as Python's splitlines, see one object a line too.
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
