"""What an operator is told when objects of a version are gone from S3. A failure is a traceback, or silence."""

import pytest

from ops.target import Target
from pipeline.collections.layout import ROWS_NAME, VECTORS_NAME, version_key
from tests.operations.published import BUCKET, Receipt, Shop

RECEIPT = Receipt(image="7c1f5a20-3b64-4e8d-9a10-000000000001", texts=["OAT MILK", "2.10"])


@pytest.fixture
def market(shop: Shop) -> Shop:
    shop.record(RECEIPT)
    shop.target.outputs["publishEverySeconds"] = 60  # pyrefly: ignore
    return shop


def lose(shop: Shop, name: str) -> str:
    key = version_key("lines", shop.publish(RECEIPT).version, name)
    shop.command("search", "OAT")
    shop.target.s3.delete_object(Bucket=BUCKET, Key=key)
    return key


def without_its_cache(shop: Shop) -> Target:
    for path in sorted(shop.target.cache_directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return shop.target


def test_reconcile_tells_of_an_object_that_only_others_miss(market):
    key = lose(market, VECTORS_NAME)
    code, out, _ = market.command("reconcile", "--json")
    assert code == 1
    assert "SNAPSHOT_INCOMPLETE" in out
    assert key in out
    assert "receipts rebuild --collection lines" in out


@pytest.mark.parametrize("command", [("reconcile",), ("search", "OAT"), ("export", "--output", "OUT")], ids=" ".join)
def test_a_command_that_needs_a_lost_object_names_it_and_the_way_out(market, tmp_path, command):
    key = lose(market, ROWS_NAME)
    without_its_cache(market)
    code, _, err = market.command(*(word.replace("OUT", str(tmp_path / "export")) for word in command))
    assert code == 1
    assert "Traceback" not in err
    assert key in err.replace("\n", "")
    assert "receipts rebuild --collection lines --from-deltas" in " ".join(err.split())
