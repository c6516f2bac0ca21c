"""The examples of docs/reading.md, run as printed; a failure breaks every program that was written after them."""

import re

from ops.documentation import PROJECT_DIRECTORY
from tests.operations.published import BUCKET, Receipt

IMAGE = "7c1f5a20-3b64-4e8d-9a10-000000000001"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (PROJECT_DIRECTORY / "docs" / "reading.md").read_text(), re.M | re.S)


def test_the_examples_of_the_document_run_and_find_the_receipt(shop, monkeypatch, capsys):
    shop.publish(
        Receipt(image=IMAGE, merchant="GREENLEAF MARKET", texts=["GREENLEAF MARKET", "OAT MILK 2.10", "TOTAL 2.10"]),
        Receipt(image=IMAGE, number=2, texts=["BOLTS M6"]),
    )
    monkeypatch.chdir(shop.path)
    monkeypatch.setenv("VECTORS_BUCKET", BUCKET)
    monkeypatch.setenv("CACHE_DIRECTORY", str(shop.path / "reader"))
    assert shop.command("export", "--collection", "lines", "--output", "lines-export")[0] == 0
    names: dict = {}
    program, plain, chroma = EXAMPLES
    exec(program, names)  # noqa: S102 - our own document
    assert f"OAT MILK 2.10  {IMAGE} 1" in capsys.readouterr().out.splitlines()[0]
    assert [hit.text for hit in names["by_letters"]] == ["OAT MILK 2.10"]
    assert {hit.metadata["receipt_id"] for hit in names["nearest"]} == {1}
    assert [row.text for row in names["lines"]] == ["GREENLEAF MARKET", "OAT MILK 2.10", "TOTAL 2.10"]
    exec(plain, names)  # noqa: S102
    assert names["rows"][0]["text"] == "OAT MILK 2.10"
    exec(chroma, names)  # noqa: S102
    assert names["answer"]["documents"][0][0] == "OAT MILK 2.10"
