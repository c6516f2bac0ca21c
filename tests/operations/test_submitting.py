"""`receipts upload` at the door. It must say what stage 1 would say, at once, and upload everything that is good."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops import cli
from ops.commands import options
from ops.target import Target
from pipeline.contracts.limits import MAXIMUM_DOCUMENT_BYTES
from tests.bad_documents import IMAGE, REFUSED, TAKEN, document, receipt
from tests.world import MOTO, REGION

BUCKET = "artifacts"
OTHER_IMAGE = "ca5e0000-0000-4000-8000-0000000000bb"


@pytest.fixture
def target(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    MOTO("s3").create_bucket(Bucket=BUCKET)
    made = Target(
        outputs={"artifactsBucket": BUCKET, "embeddingModel": "hashing-char-ngrams-v1", "embeddingDimensions": 256},
        client_options={"region_name": REGION},
        cache_directory=tmp_path / "cache",
    )
    monkeypatch.setattr(options, "connect", lambda _: made)
    yield made
    made.s3.close()


def run(*paths: Path) -> Result:
    return CliRunner().invoke(cli.application, ["upload", "--no-wait", "--json", *map(str, paths)])


def uploaded(target: Target) -> dict[str, Any]:
    listed = target.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {
        item["Key"]: json.loads(target.s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().decode("utf-8-sig"))
        for item in listed
    }


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.json"
    path.write_bytes(document(receipt(), image_id=OTHER_IMAGE))
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_named_at_once_and_its_neighbour_is_uploaded(target, tmp_path, good, name):
    content, said = REFUSED[name]
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    result = run(bad, good)
    assert result.exit_code == 1
    (refusal,) = json.loads(result.stdout)["refused"]
    assert refusal.startswith("OCR_DOCUMENT_INVALID: bad.json")
    assert said in refusal
    assert set(uploaded(target)) == {f"ocr/{OTHER_IMAGE}.json"}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_no_fault_is_uploaded_as_it_is(target, tmp_path, name):
    path = tmp_path / "a.json"
    path.write_bytes(TAKEN[name])
    result = run(path)
    assert result.exit_code == 0, result.output
    assert target.s3.get_object(Bucket=BUCKET, Key=f"ocr/{IMAGE}.json")["Body"].read() == TAKEN[name]


def test_a_bad_receipt_is_told_once_and_left_out_of_what_is_uploaded(target, tmp_path):
    path = tmp_path / "image.json"
    path.write_bytes(document(receipt(1, merchant_name="SHOP"), receipt(2, lines=[]), receipt(3, lines=[])))
    result = run(path)
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert [refusal.split(". Rule")[0] for refusal in answer["refused"]] == [
        f"OCR_DOCUMENT_INVALID: image.json: receipts.{place}: the receipt has no lines" for place in (1, 2)
    ]
    (there,) = uploaded(target).values()
    assert [item["receipt_id"] for item in there["receipts"]] == [1]
    assert set(there) == {"image_id", "receipts"}


def test_a_file_that_is_too_large_is_not_read(target, tmp_path, good):
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        # It has no blocks on the disk, and would not fit into memory.
        file.truncate(1 << 40)
    result = run(large, good)
    assert f"large.json has {1 << 40} bytes" in json.loads(result.stdout)["refused"][0]
    assert str(MAXIMUM_DOCUMENT_BYTES) in json.loads(result.stdout)["refused"][0]
    assert len(uploaded(target)) == 1


def test_one_bad_file_of_a_folder_and_one_bad_line_do_not_take_the_others_along(target, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.json").write_bytes(b"{")
    (folder / "b.json").write_bytes(document(receipt()))
    (folder / "c.json").symlink_to(folder / "nothing")
    sroie = '{"receipt": "%s", "lines": [{"box": [0, 0, 9, 9], "text": "%s"}]}\n'
    lines = [sroie % (1, "SOAP"), "{\n", sroie % (2, "A" * 9_000), sroie % (3, "TEA")]
    (folder / "d.jsonl").write_text("\ufeff" + "".join(lines), encoding="utf-8")
    result = run(folder)
    assert len(uploaded(target)) == 3
    refused = json.loads(result.stdout)["refused"]
    assert [refusal.split(": ")[1] for refusal in refused] == [
        "a.json",
        str(folder / "c.json"),
        "d.jsonl line 2",
        "d.jsonl line 3",
    ]
    assert "9000 bytes" in refused[3]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.json", b"", "it is empty"),
        ("empty.jsonl", b"", "it is empty"),
        ("blank.jsonl", b"\n \n", "it is empty"),
        ("text.txt", b"just text", "in no form that is known"),
        ("scan.png", b"\x89PNG\r\n\x1a\n", "recognize"),
    ],
)
def test_what_holds_nothing_to_upload_is_an_error_that_says_what_is_needed(target, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    result = run(tmp_path / name)
    assert result.exit_code == 1
    (refusal,) = json.loads(result.stdout)["refused"]
    assert said in refusal
    assert uploaded(target) == {}


@pytest.mark.parametrize(("names", "said"), [((), "it holds nothing"), (("a.csv", "b.csv", "c"), "2 of .csv, 1 of no")])
def test_a_folder_without_ocr_results_is_an_error_that_says_what_is_in_it(target, tmp_path, names, said):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("a,b")
    result = run(folder)
    assert result.exit_code == 1
    assert said in json.loads(result.stdout)["refused"][0]


def test_a_file_that_is_not_there_is_named_and_its_neighbour_is_uploaded(target, tmp_path, good):
    result = run(tmp_path / "nothing.json", good)
    assert result.exit_code == 1
    assert "nothing.json: No such file" in json.loads(result.stdout)["refused"][0]
    assert len(uploaded(target)) == 1


def test_a_document_comes_through_a_pipe(target):
    command = ["upload", "-", "--no-wait", "--json"]
    result = CliRunner().invoke(cli.application, command, input=document(receipt()))
    assert result.exit_code == 0, result.output
    assert set(uploaded(target)) == {f"ocr/{IMAGE}.json"}
    bad = CliRunner().invoke(cli.application, command, input=b"{")
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["refused"][0].startswith("OCR_DOCUMENT_INVALID: standard input: ")


def test_two_files_of_one_image_are_told_before_either_is_uploaded(target, tmp_path, good):
    (tmp_path / "a.json").write_bytes(document(receipt(1)))
    (tmp_path / "b.json").write_bytes(document(receipt(2)))
    result = run(tmp_path / "a.json", tmp_path / "b.json", good, good)
    assert result.exit_code == 1
    (refusal,) = json.loads(result.stdout)["refused"]
    assert refusal.startswith(f"IMAGE_TWICE: a.json and b.json are both of image {IMAGE}")
    assert set(uploaded(target)) == {f"ocr/{OTHER_IMAGE}.json"}


def test_one_picture_under_two_names_is_uploaded_once(target, tmp_path):
    target.outputs["picturesQueueUrl"] = "pictures"
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n the same")
    result = run(tmp_path / "a.png", tmp_path / "b.png")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["pictures"]) == 1
