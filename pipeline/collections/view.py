"""A private view of a Chroma directory: its own ``chroma.sqlite3``, the segments linked, the ledger left out.

Opening a Chroma directory writes to it, so neither a published version nor a copy that will become one is ever opened
itself.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.collections.layout import DATABASE_NAME
from pipeline.collections.private import PrivateDirectory
from pipeline.contracts.identifiers import CollectionName


@dataclass(frozen=True, kw_only=True)
class View:
    """An open view; ``close`` releases the memory and removes the directory."""

    directory: PrivateDirectory
    client: Any
    collection: Any

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
        for entry in directory.iterdir():
            if entry.is_dir():
                _link(entry, private.path / entry.name)
        shutil.copyfile(directory / DATABASE_NAME, private.path / DATABASE_NAME)
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


def _link(segment: Path, target: Path) -> None:
    # Hard links where the file system is the same: a cached version may then go while the view is open.
    target.mkdir()
    for file in segment.iterdir():
        try:
            (target / file.name).hardlink_to(file)
        except OSError:
            (target / file.name).symlink_to(file.resolve())
