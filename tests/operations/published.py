"""A published version for tests of what people read: real files, hashing embedder; S3 and table are moto."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from compaction_handler.storing import copy_version, upload_version, write_current_object
from ops import cli
from ops.commands import options
from ops.target import Target
from pipeline.collections.chroma import PARAMETERS, ChromaIndex
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import INDEX_NAME, LAYOUT, ROWS_NAME, VECTORS_NAME, Pointer, version_name
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import NewRow, RowName
from pipeline.collections.vectors import VectorFile
from pipeline.contracts.identifiers import CollectionName
from pipeline.contracts.run import CompactionRun
from pipeline.embedding.embedders.hashing import HASHING_DIMENSIONS, HASHING_MODEL, HashingEmbedder
from pipeline.objects import ObjectStore
from pipeline.runs.repository import RunRepository
from tests.world import BUCKET, REGION, TABLE, World

RUN = "a" * 32
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One receipt of a version: its lines, each split into words for the other collection."""

    image: str
    texts: Sequence[str]
    number: int = 1
    merchant: str | None = None
    source: str = "given"

    @property
    def key(self) -> ReceiptKey:
        return ReceiptKey(self.image, self.number)

    def rows(self, collection: CollectionName) -> list[tuple[RowName, str]]:
        if collection == "lines":
            return [(RowName(self.key, line, 0), text) for line, text in enumerate(self.texts, 1)]
        return [
            (RowName(self.key, line, word), part)
            for line, text in enumerate(self.texts, 1)
            for word, part in enumerate(text.split(" "), 1)
        ]

    def metadata(self, name: RowName) -> dict[str, Any]:
        found = {"image_id": self.image, "receipt_id": self.number, "line_id": name.line_id, "run_id": RUN}
        found |= {"word_id": name.word_id} if name.word_id else {}
        found |= {"confidence": 0.97, "x": 0.1, "y": 0.1, "width": 0.5, "height": 0.02}
        if self.merchant is not None:
            found |= {"merchant_name": self.merchant, "merchant_source": self.source}
        return found


BUILT: dict[tuple[str, str], tuple[Path, int, int]] = {}
"""The files of each version that a test of this process has asked for: Chroma takes half a second to make one."""


def build(root: Path, receipts: Sequence[Receipt], collection: CollectionName) -> tuple[Path, int, int]:
    """The directory of a closed working copy that holds these receipts, its rows and its texts."""
    known = BUILT.get((repr(receipts), collection))
    if known is not None:
        return known
    embedder, work = HashingEmbedder(), root / str(len(BUILT))
    work.mkdir()
    database = CollectionDatabase.create(work / ROWS_NAME)
    vectors = VectorFile.create(work / VECTORS_NAME, embedder.dimensions)
    index = ChromaIndex.create(work / INDEX_NAME, collection, PARAMETERS[0])
    with database.transaction():
        for receipt in receipts:
            rows = receipt.rows(collection)
            texts = list(dict.fromkeys(text for _, text in rows))
            new = database.rows.replace(
                receipt.key,
                texts,
                [NewRow(name=name, text=texts.index(text), metadata=receipt.metadata(name)) for name, text in rows],
            )
            added = [texts[number] for number in new]
            embedded = embedder.embed(added)
            first = database.distinct.note(len(vectors), embedded)
            index.add(
                [added[position - len(vectors)] for position in first],
                embedded[[position - len(vectors) for position in first]],
            )
            vectors.append(embedded)
        database.rows.index_letters(0)
    counts = (database.rows.count, database.rows.text_count)
    for file in (database, vectors, index):
        file.close()
    BUILT[repr(receipts), collection] = (work, *counts)
    return work, *counts


@dataclass
class Shop:
    """A bucket with versions, a table with runs, and the command."""

    path: Path
    built: Path
    target: Target
    runs: RunRepository
    command: Callable[..., tuple[int, str, str]]
    published: int = field(default=0)

    def publish(self, *receipts: Receipt, collection: CollectionName = "lines") -> Pointer:
        """Publish a version that holds these receipts and nothing else."""
        self.published += 1
        work, rows, texts = build(self.built, receipts, collection)
        version = version_name(self.published, "owner", 1)
        digest = copy_version(work, self.path / "root", collection, version, dict)
        pointer = Pointer(
            version=version,
            fence=self.published,
            count=rows,
            texts=texts,
            layout=LAYOUT,
            model=HASHING_MODEL,
            dimensions=HASHING_DIMENSIONS,
            digest=digest,
            published_at=MOMENT,
        )
        objects = ObjectStore(self.target.s3)
        upload_version(objects, BUCKET, collection, pointer, self.path / "root")
        write_current_object(objects, BUCKET, collection, pointer)
        return pointer

    def record(self, receipt: Receipt, **fields: Any) -> CompactionRun:
        """Record the upsert that brought a receipt."""
        progress = {"state": "COMPLETED", "expected_count": len(receipt.texts), "delta_sha256": "0" * 64}
        run = CompactionRun.model_validate(
            {
                "image_id": UUID(receipt.image),
                "receipt_id": receipt.number,
                "run_id": RUN,
                "embedding_model": HASHING_MODEL,
                "dimensions": HASHING_DIMENSIONS,
                "delta_bucket": BUCKET,
                "lines": progress,
                "words": progress,
                "merchant_source": receipt.source,
                "consumer": "lambda",
                "created_at": MOMENT,
                "updated_at": MOMENT,
            }
            | fields
        )
        self.runs.record(run)
        return run


def open_shop(
    directory: Path, built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shop:
    """What the fixture ``shop`` gives; AWS is moto already.

    Args:
        directory: of this test.
        built: where the files of versions are kept for the next test.
        monkeypatch: of this test.
        capsys: of this test.
    """
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    # pytest-xdist sets it, and then a pipe is as narrow as a terminal.
    monkeypatch.delenv("COLUMNS", raising=False)
    world = World().create()
    monkeypatch.setattr("ops.target.connect", lambda service, **_: world.clients(service))
    target = Target(
        outputs={
            "tableName": TABLE,
            "artifactsBucket": BUCKET,
            "vectorsBucket": BUCKET,
            "embedDeadLetterQueueUrl": "https://sqs.invalid/dead",
            "embedder": "hashing",
            "embeddingModel": HASHING_MODEL,
            "embeddingDimensions": HASHING_DIMENSIONS,
        },
        client_options={"region_name": REGION},
        cache_directory=directory / "cache",
    )

    def command(*words: str) -> tuple[int, str, str]:
        """Run ``receipts`` with these words: exit code, standard output, standard error."""
        monkeypatch.setattr(options, "connect", lambda _: target)
        monkeypatch.setattr("sys.argv", ["receipts", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return Shop(path=directory, built=built, target=target, runs=world.runs, command=command)
