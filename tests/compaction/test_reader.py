"""Publishing and reading; a failure would show readers half a version, or none as empty."""

from typing import Any

import numpy as np
import pytest

from compaction_handler.storing import upload_version
from pipeline.collections import published, reader
from pipeline.collections.layout import INDEX_NAME, MANIFEST_NAME, ROWS_NAME, VECTORS_NAME, version_path
from pipeline.collections.reader import SnapshotSource
from pipeline.collections.search import Filter
from pipeline.errors import ErrorCode, PermanentError
from pipeline.objects import ObjectStore
from tests.compaction.copies import publish, receipt
from tests.compaction.world import row_id
from tests.world import BUCKET, MOTO


@pytest.fixture
def s3(aws: None) -> Any:
    MOTO("s3").create_bucket(Bucket=BUCKET)
    return MOTO("s3")


def published_on(tmp_path, root):
    return publish(
        tmp_path,
        root,
        receipt(1, ["A"], np.eye(2, 4)[:1], merchant_name="M"),
        receipt(2, ["B"], np.eye(2, 4)[1:], merchant_name="N"),
    )


def test_a_published_version_is_read_from_its_directory_and_from_s3_alike(tmp_path, s3):
    root = tmp_path / "root"
    from_bucket = SnapshotSource.from_bucket("lines", s3_client=s3, bucket=BUCKET, private_directory=tmp_path / "p2")
    assert from_bucket.refresh() is None
    pointer = published_on(tmp_path, root)
    upload_version(ObjectStore(s3), BUCKET, "lines", pointer, root)
    s3.put_object(Bucket=BUCKET, Key="lines/CURRENT", Body=pointer.model_dump_json().encode())
    from_directory = SnapshotSource.from_directory(
        "lines", collections_directory=root, private_directory=tmp_path / "p1"
    )
    for source in (from_directory, from_bucket):
        published = source.refresh()
        assert published is not None
        assert published is source.refresh()
        (found,) = published.query(np.eye(1, 4, dtype=np.float32), limit=9)
        assert [(item.id, round(item.distance, 3)) for item in found] == [
            (row_id(1, 0), 0.0),
            (row_id(2, 0), 1.0),
        ]
        (found,) = published.query(np.eye(1, 4, dtype=np.float32), limit=9, only=Filter(merchants=("N",)))
        assert [item.text for item in found] == ["B"]
        source.close()


def test_a_reader_that_is_exact_neither_brings_nor_opens_the_index_however_large_the_collection(
    tmp_path, s3, monkeypatch
):
    """Chroma holds all of an index in memory, so a collection that outgrows an embedding host would have it killed."""
    monkeypatch.setattr(reader, "EXACT_BYTES", 0)
    opened: list[object] = []
    monkeypatch.setattr(published, "open_private", lambda *arguments: opened.append(arguments))
    root = tmp_path / "root"
    pointer = published_on(tmp_path, root)
    upload_version(ObjectStore(s3), BUCKET, "lines", pointer, root)
    s3.put_object(Bucket=BUCKET, Key="lines/CURRENT", Body=pointer.model_dump_json().encode())
    sources = (
        SnapshotSource.from_directory(
            "lines", collections_directory=root, private_directory=tmp_path / "p1", is_exact=True
        ),
        SnapshotSource.from_bucket(
            "lines", s3_client=s3, bucket=BUCKET, private_directory=tmp_path / "p2", is_exact=True
        ),
    )
    for source in sources:
        version = source.refresh()
        assert version is not None
        (found,) = version.query(np.eye(1, 4, dtype=np.float32), limit=1)
        assert [item.id for item in found] == [row_id(1, 0)]
        source.close()
    assert opened == []
    brought = version_path(tmp_path / "p2", "lines", pointer.version)
    assert (version_path(root, "lines", pointer.version) / INDEX_NAME).is_dir()
    assert sorted(path.name for path in brought.iterdir()) == sorted((MANIFEST_NAME, ROWS_NAME, VECTORS_NAME))
    assert not (tmp_path / "p1").exists()


def test_a_pointer_to_a_version_that_is_gone_is_an_error_and_never_an_empty_collection(tmp_path):
    pointer = published_on(tmp_path, tmp_path / "root")
    version_path(tmp_path / "root", "lines", pointer.version).rename(tmp_path / "gone")
    source = SnapshotSource.from_directory(
        "lines", collections_directory=tmp_path / "root", private_directory=tmp_path / "p"
    )
    with pytest.raises(PermanentError) as caught:
        source.refresh()
    assert caught.value.code is ErrorCode.SNAPSHOT_MISSING
