"""Chroma, in one room: a collection of records, each a text with its vector; ``distinct.py`` says which texts.

Nothing else in the repository imports chromadb, except the embedder that uses Chroma's own model. What is here knows
texts and vectors, no rows. There is no removal: Chroma 1.5.9 may lose live records after deletions and updates
(chroma-core/chroma issue 7758), so a text that goes has the whole index built again, in a new directory, from the
vector file. That file is the authority; Chroma's cosine space gives back other bits than were added.

Opening a Chroma directory writes to it, so a published one is opened only through a private copy (``open_private``).

Longer than most modules, because Chroma is known nowhere else.
"""

import shutil
import sqlite3
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.collections.layout import DATABASE_NAME
from pipeline.collections.private import PrivateDirectory
from pipeline.contracts.identifiers import CollectionName, sha256_hex

CHUNK_TEXTS: int = 500
"""Texts of one call. The call holds the GIL throughout, and the lease's heartbeat with it: about a second."""
PAGE_RECORDS = 1_000
RECORD_ID_LENGTH = 32

INDEX_FORMAT = 1
INDEX_HEADER = struct.Struct("<iQQQQQQ")
"""How ``header.bin`` begins: format, offset, places, records, bytes of a record, where in a record its label and its
vector are (chroma-hnswlib's ``persistDirty``). A record begins with its links: their number, then as many places."""
LINK, LABEL = np.dtype("<u4"), np.dtype("<u8")
LINKS_MASK = 0xFFFF
"""Of the number of links; what is above it are marks, for example of a deleted record."""
RECORDS_READ = 1_024
"""Records of an index file in memory at once: 7 MB at 1,536 dimensions."""
LENGTH_SIZE = 4
"""Bytes of an entry of ``length.bin``, one a place."""


@dataclass(frozen=True, kw_only=True)
class IndexParameters:
    """HNSW's parameters, by Chroma's names."""

    max_neighbors: int
    ef_construction: int
    ef_search: int


PARAMETERS = (
    IndexParameters(max_neighbors=32, ef_construction=64, ef_search=200),
    IndexParameters(max_neighbors=96, ef_construction=96, ef_search=200),
    IndexParameters(max_neighbors=128, ef_construction=200, ef_search=400),
    IndexParameters(max_neighbors=192, ef_construction=800, ef_search=1_600),
)
"""From the first on, the next when an index falls short (``recall.py``; docs/facts.md, "Index parameters")."""


def record_id(text: str) -> str:
    """The id of a text's record: 32 hex digits of its SHA-256."""
    return sha256_hex(text.encode())[:RECORD_ID_LENGTH]


class ChromaIndex:
    """An open collection of texts. Close it before its directory is copied.

    Attributes:
        collection: Chroma's own object, for this module and for tests of Chroma itself.
    """

    def __init__(self, directory: Path, client: Any, collection: Any, private: PrivateDirectory | None = None) -> None:
        self._directory = directory
        self._client = client
        self.collection = collection
        self._private = private

    @classmethod
    def create(cls, directory: Path, name: CollectionName, parameters: IndexParameters) -> Self:
        """Make an empty collection in a new directory."""
        client = _client(directory)
        try:
            # Cosine explicitly, the default is l2; no embedding function, or Chroma reaches for a model to download.
            # Every call is persisted: calls are as large as chunks, and a directory that is closed is at rest.
            collection = client.create_collection(
                name,
                embedding_function=None,
                configuration={"hnsw": {"space": "cosine", "sync_threshold": 1, "batch_size": 1} | asdict(parameters)},
            )
        except BaseException:
            client.close()
            raise
        return cls(directory, client, collection)

    @classmethod
    def open(cls, directory: Path, name: CollectionName, private: PrivateDirectory | None = None) -> Self:
        """Open a directory that this process alone uses."""
        client = _client(directory)
        try:
            return cls(directory, client, client.get_collection(name, embedding_function=None), private)
        except BaseException:
            client.close()
            raise

    @property
    def count(self) -> int:
        """Records."""
        return self.collection.count()

    @property
    def parameters(self) -> IndexParameters:
        """What it was made with, ``ef_search`` as it is set now."""
        found = self.collection.configuration_json["hnsw"]
        return IndexParameters(**{name: found[name] for name in asdict(PARAMETERS[0])})

    def add(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Add texts that are not there yet, ``CHUNK_TEXTS`` at most.

        Args:
            texts: distinct.
            vectors: texts x dimensions.
        """
        if texts:
            self.collection.add(
                ids=[record_id(text) for text in texts],
                embeddings=np.array(vectors, dtype=np.float32),
                documents=list(texts),
            )

    def identifiers(self) -> set[str]:
        """The ids of all records, from Chroma's own table; its ``get`` takes seven times as long (measured)."""
        database = self._directory / DATABASE_NAME
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return {row[0] for row in connection.execute("SELECT embedding_id FROM embeddings")}

    def poorly_linked(self, most: int) -> dict[str, int]:
        """The ids of the records to which at most ``most`` others link, at the index's level where all records are.

        No search comes upon a record without links, but from a level above. Read from the files, which must be at rest;
        where they do not tell, all records with ``most``.

        Returns:
            By id, how many link to it.

        Raises:
            ValueError: the files are in a format that this module does not know.
        """
        database = self._directory / DATABASE_NAME
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            # hnswlib's labels are the numbers of the records, from 1 on, in this order.
            identifiers = [row[0] for row in connection.execute("SELECT embedding_id FROM embeddings ORDER BY seq_id")]
        headers = list(self._directory.glob("*/header.bin"))
        if len(headers) != 1:
            return dict.fromkeys(identifiers, most)
        labels, links = _labels_and_links(headers[0])
        if sorted(labels) != list(range(1, len(identifiers) + 1)):
            # Records were deleted, which nothing here does.
            return dict.fromkeys(identifiers, most)
        return {identifiers[labels[place] - 1]: int(links[place]) for place in np.flatnonzero(links <= most)}

    def nearest(self, vectors: np.ndarray, limit: int) -> list[list[tuple[str, float]]]:
        """What Chroma proposes for each vector: record ids and cosine distances, nearest first."""
        if not len(vectors) or not self.count:
            return [[] for _ in vectors]
        answer = self.collection.query(
            query_embeddings=np.asarray(vectors, dtype=np.float32),
            n_results=min(limit, self.count),
            include=["distances"],
        )
        return [
            list(zip(identifiers, map(float, distances), strict=True))
            for identifiers, distances in zip(answer["ids"], answer["distances"], strict=True)
        ]

    def nearest_texts(self, vectors: np.ndarray, limit: int) -> list[list[str]]:
        """The texts that Chroma proposes for each vector, nearest first."""
        if not len(vectors) or not self.count:
            return [[] for _ in vectors]
        answer = self.collection.query(
            query_embeddings=np.asarray(vectors, dtype=np.float32),
            n_results=min(limit, self.count),
            include=["documents"],
        )
        return [[text or "" for text in documents] for documents in answer["documents"]]

    def search_width(self, width: int) -> None:
        """Set ``ef_search``; Chroma takes it up only when it opens, so the collection is closed and opened again."""
        name = self.collection.name
        with warnings.catch_warnings():
            # chromadb 1.5.9 warns of its own "legacy embedding function config" where a collection has no function.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.collection.modify(configuration={"hnsw": {"ef_search": width}})
        self._client.close()
        self._client = _client(self._directory)
        self.collection = self._client.get_collection(name, embedding_function=None)

    def close(self) -> None:
        """Close the files and remove the private copy, if it is one."""
        # Dropping a client without this leaks its index's memory (measured).
        self._client.close()
        if self._private is not None:
            self._private.remove()
            self._private = None


def compact(directory: Path) -> None:
    """Rewrite a closed directory's database without deleted content, as ``chroma vacuum`` does.

    Chroma's log leaves 8 KB of free pages for each record of 1,536 dimensions (measured with 1.5.9).
    """
    with closing(sqlite3.connect(directory / DATABASE_NAME)) as connection:
        connection.execute("VACUUM")


def clear_unused_places(directory: Path) -> None:
    """Overwrite with zeros what a closed directory's files hold beyond the last record.

    hnswlib writes the places that it has reserved without clearing them, so they hold whatever the process freed
    before: texts that were removed, for example (docs/facts.md, "Freed memory in an index file").

    Raises:
        ValueError: the files are in a format that this module does not know.
    """
    for header_path in directory.glob("*/header.bin"):
        count, record_size, _, _ = _header(header_path)
        for name, size in (("data_level0.bin", record_size), ("length.bin", LENGTH_SIZE)):
            with (header_path.parent / name).open("r+b") as file:
                used, end = count * size, file.seek(0, SEEK_END)
                if used > end:
                    raise ValueError(f"{name} has {end} bytes, {count} records need {used}")
                file.seek(used)
                file.write(bytes(end - used))


def _header(path: Path) -> tuple[int, int, int, int]:
    """Records, bytes of a record, and where in it its label and its vector are."""
    header = path.read_bytes()
    if len(header) < INDEX_HEADER.size:
        raise ValueError(f"{path.name} has {len(header)} bytes, at least {INDEX_HEADER.size} are needed")
    version, _, _, count, record_size, label_at, vector_at = INDEX_HEADER.unpack_from(header)
    if version != INDEX_FORMAT:
        raise ValueError(f"{path.name} is of format {version}, known is {INDEX_FORMAT}")
    return count, record_size, label_at, vector_at


def _labels_and_links(header_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of each record in the order of the file: its label, and how many records link to it."""
    count, record_size, label_at, vector_at = _header(header_path)
    most = vector_at // LINK.itemsize - 1
    labels, linked = np.empty(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    with (header_path.parent / "data_level0.bin").open("rb") as file:
        for first in range(0, count, RECORDS_READ):
            content = file.read(min(RECORDS_READ, count - first) * record_size)
            records = np.frombuffer(content, dtype=np.uint8).reshape(-1, record_size)
            links = np.ascontiguousarray(records[:, :vector_at]).view(LINK)
            own = np.ascontiguousarray(records[:, label_at : label_at + LABEL.itemsize]).view(LABEL)
            labels[first : first + len(records)] = own[:, 0]
            is_link = np.arange(most) < (links[:, :1] & LINKS_MASK)
            linked += np.bincount(links[:, 1:][is_link], minlength=count)
    return labels, linked


def open_private(name: CollectionName, directory: Path, private_directory: Path, *, copy: bool = False) -> ChromaIndex:
    """Open a published or closed directory through a private copy under ``private_directory``.

    Segments are linked where opening leaves them alone, else copied: a link would carry the write into the version.

    Args:
        name: the collection.
        directory: the Chroma directory.
        private_directory: on a disk of this host.
        copy: never link.
    """
    private = PrivateDirectory.create(private_directory, name)
    try:
        shutil.copyfile(directory / DATABASE_NAME, private.path / DATABASE_NAME)
        bring = _link if not copy and is_at_rest(private.path / DATABASE_NAME) else shutil.copytree
        for entry in directory.iterdir():
            if entry.is_dir():
                bring(entry, private.path / entry.name)
        return ChromaIndex.open(private.path, name, private)
    except BaseException:
        private.remove()
        raise


def is_at_rest(database: Path) -> bool:
    """Whether opening the directory of this database leaves its segments as they are.

    It does not while Chroma's log holds operations that no segment has persisted: they are replayed, and may make the
    index again or grow it on disk, whatever the sync threshold; nor when the collection is empty, because an index
    without records is created again. Measured with chromadb 1.5.9, and tested in ``tests/compaction/test_chroma.py``.

    Args:
        database: a copy of a closed directory's ``chroma.sqlite3``.
    """
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        persisted = connection.execute(
            "SELECT COALESCE(max_seq_id.seq_id, 0) FROM segments LEFT JOIN max_seq_id ON segment_id = segments.id"
        ).fetchall()
        (filled,) = connection.execute("SELECT EXISTS (SELECT 1 FROM embeddings)").fetchone()
    return bool(filled) and len(set(persisted)) == 1


@dataclass(frozen=True, kw_only=True)
class OldRecord:
    """A record of layout 1, where Chroma had one for each row.

    Attributes:
        vector: None when Chroma has lost it.
    """

    id: str
    text: str
    metadata: dict[str, Any]
    vector: np.ndarray | None


def records_of_layout_1(name: CollectionName, directory: Path) -> Iterator[OldRecord]:
    """Every record of a version of layout 1, in a directory that this process alone uses; a page is in memory."""
    index = ChromaIndex.open(directory, name)
    try:
        # In pages: Chroma refuses the metadata of more than 32,766 records at once (SQL variables, measured).
        for offset in range(0, index.count, PAGE_RECORDS):
            page = index.collection.get(limit=PAGE_RECORDS, offset=offset, include=["documents", "metadatas"])
            vectors = _vectors_of(index, page["ids"])
            for identifier, text, metadata in zip(page["ids"], page["documents"], page["metadatas"], strict=True):
                yield OldRecord(
                    id=identifier, text=text or "", metadata=dict(metadata or {}), vector=vectors.get(identifier)
                )
    finally:
        index.close()


def _vectors_of(index: ChromaIndex, identifiers: list[str]) -> dict[str, np.ndarray]:
    """Vectors by id. Chroma refuses to read those that it has lost and any that are read with them: hence halves."""
    from chromadb.errors import InternalError  # noqa: PLC0415 - an open index has imported Chroma

    if not identifiers:
        return {}
    try:
        found = index.collection.get(ids=identifiers, include=["embeddings"])
    except InternalError:
        if len(identifiers) == 1:
            return {}
        middle = len(identifiers) // 2
        return _vectors_of(index, identifiers[:middle]) | _vectors_of(index, identifiers[middle:])
    return dict(zip(found["ids"], np.asarray(found["embeddings"], dtype=np.float32), strict=True))


def _client(directory: Path) -> Any:
    import chromadb  # noqa: PLC0415 - costs 1.1 s; only those who open an index pay for it
    from chromadb.config import Settings  # noqa: PLC0415

    return chromadb.PersistentClient(path=str(directory), settings=Settings(anonymized_telemetry=False))


def _link(segment: Path, target: Path) -> None:
    # Hard links where the file system is the same: a cached version may then go while the index is open.
    target.mkdir()
    for file in segment.iterdir():
        try:
            (target / file.name).hardlink_to(file)
        except OSError:
            (target / file.name).symlink_to(file.resolve())
