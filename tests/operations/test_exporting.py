"""``receipts export``: everything a version holds, readable without this project and without Chroma.

A failure leaves whoever relied on the way out with files that do not say what was published.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ops.published import published_version
from pipeline.collections import export as exporting
from pipeline.collections.rows import RowTable
from pipeline.embedding.embedders.hashing import HashingEmbedder
from tests.operations.published import Receipt

IMAGE = "7c1f5a20-3b64-4e8d-9a10-000000000001"
AWKWARD = ["[bold]A[/bold]", ":smile:", "\x1b[31mRED", "a\u2028b\x85c\x1cd", "Å 日本", 'quote " and \\', "x" * 100_000]
RECEIPTS = [
    Receipt(image=IMAGE, merchant="SHOP [/x]", texts=AWKWARD),
    *(
        Receipt(image=IMAGE, number=number, texts=[f"OAT MILK {number}", "TOTAL 2.10", f"ITEM {number * 7}"])
        for number in range(2, 40)
    ),
]
QUERIES = ["OAT MILK 7", "TOTAL 2.10", "item 77", "RED", "nothing like it"]

WITHOUT_US = """
import json, sys
import numpy as np

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"chromadb", "sqlite3", "pipeline", "ops"}:
            raise ImportError(name)

sys.meta_path.insert(0, Refusing())
folder, queries = sys.argv[1], np.array(json.load(sys.stdin), dtype=np.float32)
rows = [json.loads(line) for line in open(folder + "/rows.jsonl", encoding="utf-8")]
texts = [json.loads(line) for line in open(folder + "/texts.jsonl", encoding="utf-8")]
vectors = np.load(folder + "/vectors.npy", mmap_mode="r")
assert [text["number"] for text in texts] == list(range(len(vectors)))
assert all(texts[row["text_number"]]["text"] == row["text"] for row in rows)
similarity = queries @ (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
found = []
for row in similarity:
    order = np.argsort(-row, kind="stable")[:5].tolist()
    found.append([[item["id"] for item in rows if item["text_number"] == number] for number in order])
json.dump({"rows": rows, "found": found}, sys.stdout)
"""


def test_the_export_alone_has_the_same_rows_and_the_same_first_hits(shop):
    pointer = shop.publish(*RECEIPTS)
    target = shop.path / "deep" / "export"
    code, out, err = shop.command("export", "--collection", "lines", "--output", str(target))
    assert code == 0, err
    assert f"of lines, version {pointer.version}, are in {target}" in out
    asked = HashingEmbedder().embed(QUERIES)
    answer = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_US, str(target)],
        input=json.dumps(asked.tolist()),
        capture_output=True,
        text=True,
        check=True,
        cwd=shop.path,
    )
    alone = json.loads(answer.stdout)
    with published_version(shop.target, "lines") as published:
        rows = [(row.id, row.text, row.position, row.metadata) for row in published.rows()]
        hits = published.query(asked, limit=5)
    assert [(row["id"], row["text"], row["text_number"], row["metadata"]) for row in alone["rows"]] == rows
    for texts, expected in zip(alone["found"], hits, strict=True):
        assert [identifier for text in texts for identifier in text][:5] == [hit.id for hit in expected]


def test_vectors_are_as_embedded_and_every_file_has_its_digest(shop):
    pointer = shop.publish(*RECEIPTS)
    target = shop.path / "export"
    target.mkdir()
    code, out, _ = shop.command("export", "--output", str(target), "--json")
    assert code == 0
    description = json.loads((target / "export.json").read_bytes())
    assert json.loads(out) == {"directory": str(target)} | description
    assert {name: description[name] for name in ("collection", "version", "model", "dimensions", "rows", "texts")} == {
        "collection": "lines",
        "version": pointer.version,
        "model": pointer.model,
        "dimensions": 256,
        "rows": pointer.count,
        "texts": pointer.texts,
    }
    assert {path.name for path in target.iterdir()} == {"export.json", *description["files"]}
    for name, file in description["files"].items():
        content = (target / name).read_bytes()
        assert file == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    texts = [json.loads(line)["text"] for line in (target / "texts.jsonl").read_text().splitlines()]
    np.testing.assert_array_equal(np.load(target / "vectors.npy"), HashingEmbedder().embed(texts))


def test_an_empty_collection_is_exported_as_such(shop):
    shop.publish()
    assert shop.command("export", "--output", str(shop.path / "export"))[0] == 0
    assert np.load(shop.path / "export" / "vectors.npy").shape == (0, 256)
    assert (shop.path / "export" / "rows.jsonl").read_bytes() == b""


def test_what_is_there_is_never_written_over(shop):
    shop.publish(RECEIPTS[0])
    full, file = shop.path / "full", shop.path / "file"
    full.mkdir()
    (full / "mine").write_text("mine")
    file.write_text("mine")
    for taken in (full, file):
        code, _, err = shop.command("export", "--output", str(taken))
        assert code == 1
        assert err.startswith("OUTPUT_TAKEN: ")
    assert [path.name for path in full.iterdir()] == ["mine"]
    assert file.read_text() == "mine"


def test_an_export_that_fails_leaves_nothing_behind(shop, monkeypatch):
    shop.publish(*RECEIPTS)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    before = set(shop.path.iterdir())
    with monkeypatch.context() as broken:
        broken.setattr(exporting.np.lib.format, "write_array_header_1_0", full)
        code, _, err = shop.command("export", "--output", str(shop.path / "export"))
    assert code == 1
    assert err.startswith("OUTPUT_UNWRITABLE: ")
    assert {path.name for path in shop.path.iterdir()} - {path.name for path in before} <= {"cache"}
    assert shop.command("export", "--output", str(shop.path / "export"))[0] == 0


def test_a_version_that_holds_less_than_its_pointer_counts_is_not_exported(shop, monkeypatch):
    shop.publish(*RECEIPTS)
    whole = RowTable.all_rows
    monkeypatch.setattr(RowTable, "all_rows", lambda table: list(whole(table))[1:])
    code, _, err = shop.command("export", "--output", str(shop.path / "export"))
    assert code == 1
    assert err.startswith("SNAPSHOT_CORRUPT: ")
    assert not (shop.path / "export").exists()


@pytest.mark.parametrize("before", ["missing", "empty"])
def test_the_progress_ends_at_the_whole(shop, before):
    shop.publish(*RECEIPTS)
    target = shop.path / "export"
    if before == "empty":
        target.mkdir()
    told: list[tuple[int, int]] = []
    with published_version(shop.target, "lines") as published:
        exporting.export_version(published, Path(target), lambda done, total: told.append((done, total)))
        total = published.count + 2 * published.text_count
    assert told[-1] == (total, total)
    assert told == sorted(told)
