"""The SQLite file of a version: its schema, and how it is opened. Its tables are used by ``rows.py`` and ``ledger.py``.

One file holds rows, texts, their letters and the ledger, so that they cannot be of different moments. A working copy's
file is as disposable as the copy, so it is written without waiting for the disk; a published one is never written.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pipeline.collections.distinct import DistinctVectors
from pipeline.collections.layout import LAYOUT
from pipeline.collections.ledger import Ledger
from pipeline.collections.rows import RowTable
from pipeline.errors import ErrorCode, PermanentError

LEAST_SQLITE = (3, 40, 1)
"""Of the image, Debian 12. FTS5 with trigrams is older (3.34); tests run on this version or a later one."""
VECTORS = """
CREATE TABLE IF NOT EXISTS vectors (position INTEGER PRIMARY KEY, digest BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS vectors_by_digest ON vectors (digest);
"""
"""Also made where it is missing: the first files of layout 2 had none, and their index is then built again."""
VECTORS_IN_MEMORY = "CREATE TEMP TABLE vectors (position INTEGER PRIMARY KEY, digest BLOB NOT NULL)"
SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE texts (
    text_id INTEGER PRIMARY KEY,
    position INTEGER NOT NULL UNIQUE,
    text TEXT NOT NULL UNIQUE
);
CREATE TABLE receipts (
    receipt INTEGER PRIMARY KEY,
    image_id TEXT NOT NULL, receipt_id INTEGER NOT NULL,
    rows INTEGER NOT NULL DEFAULT 0,
    merchant_name TEXT, merchant_source TEXT,
    fields TEXT NOT NULL DEFAULT '{}',
    operations TEXT NOT NULL DEFAULT '[]',
    UNIQUE (image_id, receipt_id)
);
CREATE TABLE rows (
    receipt INTEGER NOT NULL, line_id INTEGER NOT NULL, word_id INTEGER NOT NULL,
    text_id INTEGER NOT NULL,
    confidence REAL, x REAL, y REAL, width REAL, height REAL,
    extra TEXT,
    PRIMARY KEY (receipt, line_id, word_id)
) WITHOUT ROWID;
CREATE INDEX rows_by_text ON rows (text_id);
CREATE TABLE runs (run_id TEXT PRIMARY KEY, rows INTEGER NOT NULL, superseded_by INTEGER) WITHOUT ROWID;
CREATE VIRTUAL TABLE texts_by_trigram USING fts5(letters, content='', tokenize='trigram');
CREATE VIRTUAL TABLE texts_by_word USING fts5(letters, content='', tokenize='unicode61');
"""


class CollectionDatabase:
    """An open file of rows, texts and ledger. Close it.

    Attributes:
        rows: rows and texts.
        distinct: which texts have a record in the index.
        ledger: which runs and operations they came from.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.rows = RowTable(connection)
        self.distinct = DistinctVectors(connection)
        self.ledger = Ledger(connection)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make an empty file for a working copy."""
        connection = _connect(path)
        try:
            connection.executescript(SCHEMA + VECTORS)
            connection.execute("INSERT INTO facts VALUES ('layout', ?)", (str(LAYOUT),))
            return cls(_unsafe(connection))
        except BaseException:
            connection.close()
            raise

    @classmethod
    def open(cls, path: Path, *, writable: bool = False) -> Self:
        """Open a file: a working copy's for writing, a published one's for reading only.

        Raises:
            PermanentError: SNAPSHOT_CORRUPT when it is no such file, VERSION_UNSUPPORTED when it is of another layout.
        """
        if not path.is_file():
            raise _corrupt(path, "it is not there")
        # Immutable: nobody writes to a published file, so SQLite needs no lock, which a network file system may lack.
        connection = _connect(path) if writable else _connect(path, "?mode=ro&immutable=1")
        try:
            found = connection.execute("SELECT value FROM facts WHERE name = 'layout'").fetchone()
            layout = None if found is None else found[0]
            if layout != str(LAYOUT):
                raise PermanentError(
                    ErrorCode.VERSION_UNSUPPORTED,
                    value=f"{path} has layout {layout}",
                    rule=f"this release reads layout {LAYOUT}",
                    way_out="deploy the release that published it, or the one that converts it",
                )
            if writable:
                connection.executescript(VECTORS)
            elif not _has_vectors(connection):
                # A published file is never written.
                connection.execute(VECTORS_IN_MEMORY)
            return cls(_unsafe(connection) if writable else connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _corrupt(path, str(error)) from error
        except BaseException:
            connection.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written in the ``with`` block."""
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            # SQLite has rolled back by itself when the disk is full (sqlite.org/lang_transaction.html, section 3).
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def fact(self, name: str) -> str | None:
        """What was noted under ``name``."""
        found = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else found[0]

    def note(self, name: str, value: str) -> None:
        """Note a fact of the whole collection."""
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file; nothing when it is whole."""
        found = [row[0] for row in self._connection.execute("PRAGMA quick_check(5)")]
        return [] if found == ["ok"] else found

    def compact(self) -> None:
        """Write the file again without what was deleted: no byte of a removed text stays in it."""
        self._connection.execute("VACUUM")

    def close(self) -> None:
        """Close the file, after which it may be copied."""
        self._connection.close()


def require_sqlite() -> None:
    """Refuse a SQLite that is older than the one everything was tried on.

    Raises:
        PermanentError: ENVIRONMENT_INVALID.
    """
    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        raise PermanentError(
            ErrorCode.ENVIRONMENT_INVALID,
            value=f"SQLite is {sqlite3.sqlite_version}",
            rule=f"it is {'.'.join(map(str, LEAST_SQLITE))} or later",
            way_out="use the project's image, or a Python that is linked with a later SQLite",
        )


def _has_vectors(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'vectors'").fetchone()[0])


def _connect(path: Path, options: str = "") -> sqlite3.Connection:
    # Autocommit: a transaction begins where the code says so. Readers may be of another thread than the opener.
    return sqlite3.connect(
        f"{path.resolve().as_uri()}{options}", uri=True, isolation_level=None, check_same_thread=False
    )


def _unsafe(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA journal_mode = MEMORY")
    connection.execute("PRAGMA synchronous = OFF")
    _overwrite_deleted(connection)
    return connection


def _overwrite_deleted(connection: sqlite3.Connection) -> None:
    # A removed name stays in no freed page, also where no text was removed and nothing is compacted.
    connection.execute("PRAGMA secure_delete = ON")


def _corrupt(path: Path, reason: str) -> PermanentError:
    return PermanentError(
        ErrorCode.SNAPSHOT_CORRUPT,
        value=f"{path}: {reason}",
        rule="it is the SQLite file that was published",
        way_out="restore the version from S3 or from a backup",
    )
