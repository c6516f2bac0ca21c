"""A private view of a Chroma directory: its own ``chroma.sqlite3``, the segments and the ledger linked.

Opening a Chroma directory writes to it, so neither a published version nor a copy that will become one is ever opened
itself. Segments are linked only when opening leaves them alone; a link would carry the write into the version.
"""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.collections.layout import DATABASE_NAME, LEDGER_NAME
from pipeline.collections.ledger import Ledger
from pipeline.collections.private import PrivateDirectory
from pipeline.contracts.identifiers import CollectionName


@dataclass(frozen=True, kw_only=True)
class View:
    """An open view; ``close`` releases the memory and removes the directory."""

    directory: PrivateDirectory
    client: Any
    collection: Any

    def ledger(self) -> Ledger:
        """The version's ledger, open for reading; close it before the view."""
        return Ledger(self.directory.path / LEDGER_NAME, read_only=True)

    def identifiers(self) -> list[str]:
        """The id of every row, from Chroma's own table; its ``get`` takes seven times as long (measured)."""
        database = self.directory.path / DATABASE_NAME
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return [row[0] for row in connection.execute("SELECT embedding_id FROM embeddings")]

    def close(self) -> None:
        """Close the client, then remove the directory."""
        self.client.close()
        self.directory.remove()


def open_view(name: CollectionName, directory: Path, private_directory: Path) -> View:
    """Open ``directory`` through a new view under ``private_directory``."""
    import chromadb  # noqa: PLC0415 - costs 1.1 s; only readers and the merge pay for it
    from chromadb.config import Settings  # noqa: PLC0415

    private = PrivateDirectory.create(private_directory, name)
    try:
        shutil.copyfile(directory / DATABASE_NAME, private.path / DATABASE_NAME)
        bring = _link if is_at_rest(private.path / DATABASE_NAME) else shutil.copytree
        for entry in directory.iterdir():
            if entry.is_dir():
                bring(entry, private.path / entry.name)
            elif entry.name == LEDGER_NAME:
                _link_file(entry, private.path / entry.name)
        client: Any = chromadb.PersistentClient(path=str(private.path), settings=Settings(anonymized_telemetry=False))
        try:
            collection = client.get_collection(name, embedding_function=None)
        except BaseException:
            client.close()
            raise
    except BaseException:
        private.remove()
        raise
    return View(directory=private, client=client, collection=collection)


def is_at_rest(database: Path) -> bool:
    """Whether opening the directory of this database leaves its segments as they are.

    It does not while Chroma's log holds operations that no segment has persisted: they are replayed, and may make the
    index anew or grow it on disk, whatever the sync threshold; nor when the collection was emptied, because an index
    without rows is made anew. Measured with chromadb 1.5.9, and held by ``tests/compaction/test_view.py``.

    Args:
        database: a copy of a closed directory's ``chroma.sqlite3``.
    """
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        persisted = connection.execute(
            "SELECT COALESCE(max_seq_id.seq_id, 0) FROM segments LEFT JOIN max_seq_id ON segment_id = segments.id"
        ).fetchall()
        (filled,) = connection.execute("SELECT EXISTS (SELECT 1 FROM embeddings)").fetchone()
    return bool(filled) and len(set(persisted)) == 1


def _link(segment: Path, target: Path) -> None:
    # Hard links where the file system is the same: a cached version may then go while the view is open.
    target.mkdir()
    for file in segment.iterdir():
        _link_file(file, target / file.name)


def _link_file(file: Path, target: Path) -> None:
    try:
        target.hardlink_to(file)
    except OSError:
        target.symlink_to(file.resolve())
