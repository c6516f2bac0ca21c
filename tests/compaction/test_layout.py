"""Names that become paths and keys. One that leads elsewhere lets whoever writes a pointer write any file."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from compaction_handler.storing import copy_version, upload_version
from pipeline.collections.layout import (
    MANIFEST_NAME,
    Pointer,
    current_key,
    current_path,
    decode_manifest,
    encode_manifest,
    version_key,
    version_name,
    version_path,
)
from pipeline.collections.versions import (
    copy_verified,
    download_version,
    read_current,
    read_current_object,
    require_version,
)
from pipeline.contracts.identifiers import sha256_hex
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.objects import ObjectStore
from tests.world import MOTO

BUCKET = "vectors"
VERSION = version_name(7, "0123456789abcdef", 3)
DIGEST = sha256_hex(b"data")
NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "/etc/x",
    "a//b",
    "a/",
    ".hidden",
    "a\x00b",
    "a\nb",
    "é",
    "a b",
    MANIFEST_NAME,
]
VERSIONS = ["", "..", "../../x", f"{VERSION}/../x", f"/{VERSION}", f"{VERSION}\n", ".", "v1", f"{VERSION}.partial"]


def pointer(**changes: Any) -> dict[str, Any]:
    made = Pointer(
        version=VERSION,
        fence=7,
        count=1,
        model="m",
        dimensions=4,
        digest=DIGEST,
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return made.model_dump(mode="json") | changes


@pytest.fixture
def objects(aws: None) -> ObjectStore:
    MOTO("s3").create_bucket(Bucket=BUCKET)
    return ObjectStore(MOTO("s3"))


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(PermanentError) as caught:
        action()
    assert caught.value.code is ErrorCode.SNAPSHOT_CORRUPT
    return caught.value.value


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, Pointer]:
    """A version of two files."""
    source = tmp_path / "source"
    (source / "chroma").mkdir(parents=True)
    for name in ("rows.sqlite3", "chroma/data_level0.bin"):
        (source / name).write_bytes(b"data")
    digest = copy_version(source, tmp_path / "root", "lines", VERSION, dict)
    return tmp_path / "root", Pointer.model_validate(pointer(digest=digest))


@pytest.mark.parametrize("fence", [1, 999_999_999_999])
def test_every_name_that_is_made_is_taken(fence):
    name = version_name(fence, "0123456789abcdef0123456789abcdef", 1)
    assert Pointer.model_validate(pointer(version=name, replaced={VERSION: "2026-01-01T00:00:00Z"})).version == name
    assert Pointer.model_validate(pointer(version=f"{fence:012d}-01234567")).version
    files = {
        "rows.sqlite3": DIGEST,
        "chroma/0b1c-2d/data_level0.bin": f"{DIGEST}-12",
        "chroma/index_metadata.pickle": DIGEST,
    }
    assert decode_manifest(encode_manifest(files)) == dict(sorted(files.items()))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pointer_to_what_is_no_versions_name_is_refused_by_every_reader(tmp_path, objects, version):
    for content in (pointer(version=version), pointer(replaced={version: "2026-01-01T00:00:00Z"})):
        current = current_path(tmp_path, "lines")
        current.parent.mkdir(exist_ok=True)
        current.write_text(json.dumps(content))
        refused(lambda: read_current(tmp_path, "lines"))
        objects.replace(BUCKET, current_key("lines"), json.dumps(content).encode(), None)
        refused(lambda: read_current_object(objects, BUCKET, "lines"))


@pytest.mark.parametrize("digest", ["", "0", DIGEST.upper(), DIGEST + "0"])
def test_a_pointer_with_what_is_no_digest_is_refused(tmp_path, digest):
    current_path(tmp_path, "lines").parent.mkdir()
    current_path(tmp_path, "lines").write_text(json.dumps(pointer(digest=digest)))
    refused(lambda: read_current(tmp_path, "lines"))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b'{"files": []}', b'{"files": {"a": 1}}', b"[" * 100_000, b"\xff",
        *(encode_manifest({name: DIGEST}) for name in NAMES),
        *(encode_manifest({"a": DIGEST + end}) for end in ("0", "-0", "-123456", "-x")), encode_manifest({"a": ""}),
    ],
)  # fmt: skip
def test_a_manifest_that_leads_elsewhere_or_is_none_is_refused_by_every_reader(tmp_path, objects, content):
    with pytest.raises(ValueError, match=r"no manifest|is named|has digest|JSON|Expecting|decode"):
        decode_manifest(content)
    made = Pointer.model_validate(pointer(digest=sha256_hex(content)))
    directory = version_path(tmp_path / "root", "lines", VERSION)
    directory.mkdir(parents=True)
    (directory / MANIFEST_NAME).write_bytes(content)
    refused(lambda: copy_verified(directory, tmp_path / "copy"))
    refused(lambda: upload_version(objects, BUCKET, "lines", made, tmp_path / "root"))
    objects.put_if_absent(BUCKET, version_key("lines", VERSION, MANIFEST_NAME), content, "application/json")
    refused(lambda: download_version(objects, BUCKET, "lines", made, tmp_path / "deep" / "er"))
    assert [path for path in (tmp_path / "deep").rglob("*") if path.is_file()] == []


def spoiled_by(kind: str, path: Path, elsewhere: Path) -> None:
    """Put something in a file's or a directory's place that is neither."""
    if path.is_dir():
        shutil.move(path, elsewhere)
    else:
        path.rename(elsewhere)
    if kind == "link":
        path.symlink_to(elsewhere)
    else:
        os.mkfifo(path)


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("name", ["rows.sqlite3", "chroma", "chroma/data_level0.bin", MANIFEST_NAME, "."])
def test_a_version_that_holds_what_is_no_file_is_refused_by_every_reader(tmp_path, objects, published, kind, name):
    root, made = published
    directory = require_version(root, "lines", made)
    spoiled_by(kind, directory / name if name != "." else directory, tmp_path / "elsewhere")
    for action in (
        lambda: require_version(root, "lines", made),
        lambda: copy_verified(directory, tmp_path / "copy"),
        lambda: upload_version(objects, BUCKET, "lines", made, root),
        lambda: download_version(objects, BUCKET, "lines", made, root),
    ):
        refused(action)


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("name", ["rows.sqlite3", "chroma", "more"])
def test_a_working_copy_that_holds_what_is_no_file_is_not_published(tmp_path, published, kind, name):
    root, _ = published
    source, elsewhere = tmp_path / "source", tmp_path / "elsewhere"
    (source / "more").write_bytes(b"more")
    spoiled_by(kind, source / name, elsewhere)
    with pytest.raises(RetryableError) as caught:
        copy_version(source, root, "lines", version_name(8, "owner", 1), dict)
    assert caught.value.code is ErrorCode.SNAPSHOT_UNSOUND
    assert [path.name for path in version_path(root, "lines", VERSION).parent.iterdir()] == [VERSION]
