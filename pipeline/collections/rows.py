"""Rows and distinct texts of a collection, as tables of its SQLite file.

A row is one line or word of one receipt and names its text; a text is stored once, at a position that is also its
vector's in ``vectors.py``. A text goes with its last row. What all rows of a receipt have in common, such as its
merchant, is stored once, with the receipt.

Longer than most modules, because all SQL of these tables is together: a change of the schema is made in one file.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from pipeline.collections.letters import fold_text, literal_query, trigram_query, word_query
from pipeline.collections.receipts import ReceiptKey
from pipeline.contracts.identifiers import line_vector_id, word_vector_id
from pipeline.contracts.metadata import MERCHANT_NAME, MERCHANT_SOURCE, Metadata

VARIABLES_AT_ONCE = 500
"""Below SQLite's limit of 999 in old builds (sqlite.org/limits.html)."""
NUMBERS = ("confidence", "x", "y", "width", "height")
"""Fields of a row that have a column of their own."""
DERIVED = frozenset({"image_id", "receipt_id", "line_id", "word_id"})
"""Fields that the row's id says already."""
MOST_DIGITS = 18
"""Of a number in an id: SQLite's integers have 64 bits."""
_IDENTIFIER = re.compile(
    r"IMAGE#(?P<image>[0-9a-f-]{36})#RECEIPT#(?P<receipt>[0-9]{5,})#LINE#(?P<line>[0-9]{5,})(?:#WORD#(?P<word>[0-9]{5,}))?"
)


class RowName(NamedTuple):
    """Which line or word of which receipt; ``word_id`` is 0 for a line."""

    receipt: ReceiptKey
    line_id: int
    word_id: int

    @property
    def identifier(self) -> str:
        """The vector id (docs/contracts.md)."""
        image, number = UUID(self.receipt.image_id), self.receipt.receipt_id
        if self.word_id:
            return word_vector_id(image, number, self.line_id, self.word_id)
        return line_vector_id(image, number, self.line_id)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row as it is read.

    Attributes:
        position: of its text, and of the text's vector.
    """

    id: str
    receipt: ReceiptKey
    text: str
    position: int
    metadata: Metadata


@dataclass(frozen=True, kw_only=True)
class NewRow:
    """A row that is to be written: its text is a number of the list given with it."""

    name: RowName
    text: int
    metadata: Metadata


@dataclass(frozen=True, kw_only=True)
class KnownMerchant:
    """A merchant of published rows.

    Attributes:
        receipts: how many have the name.
        given: whether it came with an OCR result or a correction at least once, and is not only resolved.
    """

    name: str
    receipts: int
    given: bool


@dataclass(frozen=True, kw_only=True)
class RemovedTexts:
    """What became of positions when texts went.

    Attributes:
        moves: which texts moved into the gaps, from and to.
        count: texts afterwards.
    """

    moves: Mapping[int, int]
    count: int


def parse_identifier(identifier: str) -> RowName | None:
    """What a vector id names; None when it is not of the contract's form."""
    match = _IDENTIFIER.fullmatch(identifier)
    if match is None or max(map(len, (*match.group("receipt", "line"), match["word"] or ""))) > MOST_DIGITS:
        return None
    return RowName(ReceiptKey(match["image"], int(match["receipt"])), int(match["line"]), int(match["word"] or 0))


class RowTable:
    """Rows and texts of an open file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._touched: set[int] = set()

    @property
    def count(self) -> int:
        """Rows."""
        return self._one("SELECT COUNT(*) FROM rows")

    @property
    def text_count(self) -> int:
        """Distinct texts."""
        return self._one("SELECT COUNT(*) FROM texts")

    # Writing, inside a transaction.

    def replace(self, key: ReceiptKey, texts: Sequence[str], rows: Sequence[NewRow]) -> list[int]:
        """Give a receipt these rows instead of those that it has.

        Args:
            key: the receipt.
            texts: distinct; rows name them by number.
            rows: all of this receipt.

        Returns:
            The numbers of the texts that were not there yet, in the order of their new positions at the end.
        """
        self.remove(key)
        receipt = self._receipt(key)
        position, new, text_ids = self.text_count, [], []
        for number, text in enumerate(texts):
            found = self._connection.execute("SELECT text_id FROM texts WHERE text = ?", (text,)).fetchone()
            if found is None:
                inserted = self._connection.execute(
                    "INSERT INTO texts (position, text) VALUES (?, ?)", (position + len(new), text)
                )
                new.append(number)
                text_ids.append(inserted.lastrowid or 0)
            else:
                text_ids.append(found[0])
        common = _common_fields([row.metadata for row in rows])
        self._connection.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (receipt, row.name.line_id, row.name.word_id, text_ids[row.text], *_columns(row.metadata, common))
                for row in rows
            ],
        )
        # A text that no row names would never go again.
        self._touched.update(text_ids)
        self._connection.execute("UPDATE receipts SET rows = ? WHERE receipt = ?", (len(rows), receipt))
        self._set_fields(receipt, common)
        return new

    def change(self, key: ReceiptKey, changes: Metadata) -> None:
        """Set fields on all rows of a receipt."""
        receipt = self._receipt(key)
        found = self._connection.execute(
            "SELECT merchant_name, merchant_source, fields FROM receipts WHERE receipt = ?", (receipt,)
        ).fetchone()
        self._set_fields(receipt, _fields(*found) | changes)

    def remove(self, key: ReceiptKey) -> None:
        """Remove the rows of a receipt; texts without rows stay until ``remove_unused_texts``."""
        receipt = self._receipt(key)
        self._touched.update(
            row[0] for row in self._connection.execute("SELECT text_id FROM rows WHERE receipt = ?", (receipt,))
        )
        self._connection.execute("DELETE FROM rows WHERE receipt = ?", (receipt,))
        self._connection.execute("UPDATE receipts SET rows = 0 WHERE receipt = ?", (receipt,))
        self._set_fields(receipt, {})

    def remove_unused_texts(self) -> RemovedTexts | None:
        """Remove the texts whose last row went in this transaction; None when there is none.

        The last texts move into the gaps, so that positions stay without any.
        """
        statement = "SELECT position FROM texts WHERE text_id = ? AND NOT EXISTS (SELECT 1 FROM rows WHERE text_id = ?)"
        gone = {}
        for text_id in self._touched:
            found = self._connection.execute(statement, (text_id, text_id)).fetchone()
            if found is not None:
                gone[text_id] = found[0]
        self._touched = set()
        if not gone:
            return None
        count = self.text_count - len(gone)
        self._connection.executemany("DELETE FROM texts WHERE text_id = ?", [(text_id,) for text_id in gone])
        gaps = sorted(position for position in gone.values() if position < count)
        last = self._connection.execute("SELECT position FROM texts WHERE position >= ? ORDER BY position", (count,))
        moves = dict(zip([row[0] for row in last], gaps, strict=True))
        self._connection.executemany(
            "UPDATE texts SET position = ? WHERE position = ?", [(target, source) for source, target in moves.items()]
        )
        return RemovedTexts(moves=moves, count=count)

    def index_letters(self, start: int) -> None:
        """Make the texts from position ``start`` on searchable by their letters; 0 forgets all and begins again."""
        if start == 0:
            for table in ("texts_by_trigram", "texts_by_word"):
                self._connection.execute(f"INSERT INTO {table}({table}) VALUES ('delete-all')")  # noqa: S608 - ours
        rows = self._connection.execute("SELECT text_id, text FROM texts WHERE position >= ?", (start,))
        folded = [(text_id, fold_text(text)) for text_id, text in rows]
        for table in ("texts_by_trigram", "texts_by_word"):
            self._connection.executemany(f"INSERT INTO {table} (rowid, letters) VALUES (?, ?)", folded)  # noqa: S608
            if start == 0:
                self._connection.execute(f"INSERT INTO {table}({table}) VALUES ('optimize')")  # noqa: S608 - ours

    # Reading.

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """The texts of positions ``start`` up to ``stop``, in this order."""
        return [
            row[0]
            for row in self._connection.execute(
                "SELECT text FROM texts WHERE position >= ? AND position < ? ORDER BY position",
                (start, self.text_count if stop is None else stop),
            )
        ]

    def texts_at(self, positions: Sequence[int]) -> dict[int, str]:
        """The texts at some positions."""
        found: dict[int, str] = {}
        for start in range(0, len(positions), VARIABLES_AT_ONCE):
            part = positions[start : start + VARIABLES_AT_ONCE]
            statement = f"SELECT position, text FROM texts WHERE position IN ({_marks(part)})"  # noqa: S608 - marks
            found |= dict(self._connection.execute(statement, part).fetchall())
        return found

    def positions(self, texts: Sequence[str]) -> list[int | None]:
        """The position of each text; None for one that is not stored."""
        found = {}
        for part in _parts(texts):
            statement = f"SELECT text, position FROM texts WHERE text IN ({_marks(part)})"  # noqa: S608 - marks
            found |= dict(self._connection.execute(statement, part).fetchall())
        return [found.get(text) for text in texts]

    def positions_of(self, where: str, values: Sequence[object]) -> list[int]:
        """Positions of the texts of the rows of some receipts, each once, ascending.

        Args:
            where: a condition on ``receipts``; a constant of the code, never of the data.
            values: of its parameters.
        """
        statement = (
            "SELECT position FROM texts WHERE text_id IN (SELECT text_id FROM rows WHERE receipt IN "  # noqa: S608
            f"(SELECT receipt FROM receipts WHERE {where})) ORDER BY position"
        )
        return [row[0] for row in self._connection.execute(statement, list(values))]

    def rows_of_text(
        self, position: int, where: str = "1", values: Sequence[object] = (), limit: int = -1
    ) -> list[Row]:
        """The rows of a text, by receipt, line and word; of some receipts only, see ``positions_of``."""
        return list(
            self._rows(
                f"texts.position = ? AND {where}", [position, *values], "receipts.receipt, line_id, word_id", limit
            )
        )

    def rows_of_receipt(self, key: ReceiptKey) -> list[Row]:
        """The rows of a receipt, by line and word."""
        return list(self._rows("image_id = ? AND receipt_id = ?", list(key), "line_id, word_id"))

    def count_of(self, key: ReceiptKey) -> int:
        """How many rows a receipt has, counted."""
        receipt = "SELECT receipt FROM receipts WHERE image_id = ? AND receipt_id = ?"
        statement = f"SELECT COUNT(*) FROM rows WHERE receipt = ({receipt})"  # noqa: S608 - ours
        return self._connection.execute(statement, key).fetchone()[0]

    def all_rows(self) -> Iterator[Row]:
        """Every row, by receipt, line and word."""
        return self._rows("1", [], "receipts.receipt, line_id, word_id")

    def merchants(self) -> list[KnownMerchant]:
        """The merchants of receipts that have rows, by name."""
        statement = (
            "SELECT merchant_name, COUNT(*), MAX(merchant_source IS NOT 'resolved') FROM receipts "
            "WHERE rows > 0 AND merchant_name IS NOT NULL GROUP BY merchant_name ORDER BY merchant_name"
        )
        return [
            KnownMerchant(name=name, receipts=count, given=bool(given))
            for name, count, given in self._connection.execute(statement)
        ]

    def receipts_without_merchant(self, limit: int) -> list[ReceiptKey]:
        """Some receipts that have rows and no merchant, drawn at random when there are more than ``limit``."""
        statement = (
            "SELECT image_id, receipt_id FROM receipts WHERE rows > 0 AND merchant_name IS NULL "
            "ORDER BY random() LIMIT ?"
        )
        return [ReceiptKey(*row) for row in self._connection.execute(statement, (limit,))]

    def receipts(self, image_prefix: str) -> list[ReceiptKey]:
        """Receipts with rows whose image id begins with ``image_prefix``."""
        statement = (
            "SELECT image_id, receipt_id FROM receipts WHERE rows > 0 AND substr(image_id, 1, ?) = ? ORDER BY 1, 2"
        )
        return [ReceiptKey(*row) for row in self._connection.execute(statement, (len(image_prefix), image_prefix))]

    def by_letters(self, text: str, limit: int) -> list[int]:
        """Positions of the texts that share letters with ``text``, best first: trigrams, or words where it has none."""
        folded = fold_text(text)
        for table, query in (("texts_by_trigram", trigram_query(folded)), ("texts_by_word", word_query(folded))):
            if query is not None and (found := self._matching(table, query, limit)):
                return found
        return []

    def containing(self, text: str, limit: int) -> list[int]:
        """Positions of the texts that contain ``text`` letter by letter, the shortest first; case does not matter."""
        query = literal_query(fold_text(text))
        if query is None:
            return []
        return self._matching("texts_by_trigram" if query[0] else "texts_by_word", query[1], limit)

    def _matching(self, table: str, query: str, limit: int) -> list[int]:
        statement = (
            f"SELECT position FROM {table} JOIN texts ON text_id = {table}.rowid "  # noqa: S608 - ours
            f"WHERE {table} MATCH ? ORDER BY rank, {table}.rowid LIMIT ?"
        )
        return [row[0] for row in self._connection.execute(statement, (query, limit))]

    def faults(self) -> Iterator[str]:
        """What is wrong between rows, receipts and texts; nothing when they agree."""
        counts = {
            "texts have no row": "SELECT COUNT(*) FROM texts WHERE text_id NOT IN (SELECT text_id FROM rows)",
            "rows have no text": "SELECT COUNT(*) FROM rows WHERE text_id NOT IN (SELECT text_id FROM texts)",
            "rows have no receipt": "SELECT COUNT(*) FROM rows WHERE receipt NOT IN (SELECT receipt FROM receipts)",
            "receipts count other rows than they have": "SELECT COUNT(*) FROM receipts LEFT JOIN "
            "(SELECT receipt, COUNT(*) AS found FROM rows GROUP BY receipt) USING (receipt) "
            "WHERE rows IS NOT IFNULL(found, 0)",
            "positions are missing below the last": "SELECT IFNULL(MAX(position) + 1, 0) - COUNT(*) FROM texts",
        }
        for fault, statement in counts.items():
            if number := self._one(statement):
                yield f"{number} {fault}"
        for table in ("texts_by_trigram", "texts_by_word"):
            if (number := self._one(f"SELECT COUNT(*) FROM {table}_docsize")) != self.text_count:  # noqa: S608 - ours
                yield f"{table} has {number} texts"

    def _rows(self, where: str, values: Sequence[object], order: str, limit: int = -1) -> Iterator[Row]:
        statement = (
            "SELECT image_id, receipt_id, line_id, word_id, text, position, confidence, x, y, width, height, extra, "  # noqa: S608
            "merchant_name, merchant_source, fields FROM rows JOIN receipts USING (receipt) JOIN texts USING (text_id) "
            f"WHERE {where} ORDER BY {order} LIMIT ?"
        )
        for row in self._connection.execute(statement, [*values, limit]):
            image_id, receipt_id, line_id, word_id, text, position, *rest = row
            *numbers, extra, merchant_name, merchant_source, fields = rest
            key = ReceiptKey(image_id, receipt_id)
            metadata: Metadata = {"image_id": image_id, "receipt_id": receipt_id, "line_id": line_id}
            if word_id:
                metadata["word_id"] = word_id
            metadata |= {name: value for name, value in zip(NUMBERS, numbers, strict=True) if value is not None}
            metadata |= json.loads(extra) if extra else {}
            metadata |= _fields(merchant_name, merchant_source, fields)
            yield Row(
                id=RowName(key, line_id, word_id).identifier,
                receipt=key,
                text=text,
                position=position,
                metadata=metadata,
            )

    def _receipt(self, key: ReceiptKey) -> int:
        self._connection.execute("INSERT OR IGNORE INTO receipts (image_id, receipt_id) VALUES (?, ?)", key)
        return self._connection.execute(
            "SELECT receipt FROM receipts WHERE image_id = ? AND receipt_id = ?", key
        ).fetchone()[0]

    def _set_fields(self, receipt: int, fields: Metadata) -> None:
        merchant = {name: fields[name] for name in (MERCHANT_NAME, MERCHANT_SOURCE) if type(fields.get(name)) is str}
        others = {name: value for name, value in fields.items() if name not in merchant and name not in DERIVED}
        self._connection.execute(
            "UPDATE receipts SET merchant_name = ?, merchant_source = ?, fields = ? WHERE receipt = ?",
            (merchant.get(MERCHANT_NAME), merchant.get(MERCHANT_SOURCE), _json(others), receipt),
        )

    def _one(self, statement: str) -> int:
        return self._connection.execute(statement).fetchone()[0]


def _common_fields(metadatas: Sequence[Metadata]) -> Metadata:
    """What all rows say alike, but for what has a column or is said by the id."""
    if not metadatas:
        return {}
    first, *others = metadatas
    return {
        name: value
        for name, value in first.items()
        if name not in DERIVED and name not in NUMBERS and all(_same(other.get(name), value) for other in others)
    }


def _same(one: object, other: object) -> bool:
    # True is 1 and 1 is 1.0 to Python, and none of them to who reads the metadata.
    return type(one) is type(other) and one == other


def _columns(metadata: Metadata, common: Metadata) -> tuple[object, ...]:
    # A column of type REAL would give an integer or a boolean back as another type.
    numbers = {name: metadata[name] for name in NUMBERS if type(metadata.get(name)) is float}
    extra = {
        name: value
        for name, value in metadata.items()
        if name not in common and name not in DERIVED and name not in numbers
    }
    return (*map(numbers.get, NUMBERS), _json(extra) if extra else None)


def _fields(merchant_name: str | None, merchant_source: str | None, fields: str) -> Metadata:
    found: Metadata = json.loads(fields)
    if merchant_name is not None:
        found[MERCHANT_NAME] = merchant_name
    if merchant_source is not None:
        found[MERCHANT_SOURCE] = merchant_source
    return found


def _json(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, ensure_ascii=False, sort_keys=True)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _parts(items: Iterable[str]) -> Iterator[list[str]]:
    known = list(items)
    for start in range(0, len(known), VARIABLES_AT_ONCE):
        yield known[start : start + VARIABLES_AT_ONCE]
