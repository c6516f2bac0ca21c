"""``receipts show``, and the beginning of an image id wherever a command takes one.

A failure shows or changes another receipt than the one that was meant.
"""

import json
from datetime import timedelta

import pytest

from pipeline.contracts.run import RunState
from pipeline.runs.transitions import AttemptFailed
from tests.operations.published import MOMENT, RUN, Receipt, Shop

IMAGE = "7c1f5a20-3b64-4e8d-9a10-000000000001"
NEAR = "7c1f5a20-3b64-4e8d-9a10-000000000002"
OTHER = "0d9e1f42-11aa-4bcd-8e01-aabbccddeeff"
RECEIPT = Receipt(image=OTHER, merchant="SHOP [bold]", source="resolved", texts=["OAT MILK [/kg]", ":smile: 2.10"])


@pytest.fixture
def market(shop: Shop) -> Shop:
    receipts = (Receipt(image=IMAGE, texts=["A"]), Receipt(image=NEAR, texts=["B"]), RECEIPT)
    shop.publish(*receipts)
    for receipt in receipts:
        shop.record(receipt)
    return shop


def test_a_receipt_is_shown_with_its_lines_its_merchant_and_its_runs(market):
    code, out, err = market.command("show", OTHER[:8], "1")
    assert code == 0, err
    assert f"receipt 1 of image {OTHER}" in out
    assert "published: in version 000000000001-owner-000001 of lines" in out
    assert "merchant: SHOP [bold] (resolved)" in out
    assert f"run: {RUN}, embedded by hashing-char-ngrams-v1" in out
    assert "OAT MILK [/kg]" in out
    assert ":smile: 2.10" in out
    assert f"run {RUN}: lines COMPLETED, words COMPLETED" in out
    assert "line/word" not in out


def test_an_operation_that_changed_nothing_names_the_one_because_of_which(market):
    outdated = {"state": "COMPLETED", "expected_count": 1, "delta_sha256": "0" * 64, "superseded_by": 1}
    market.record(RECEIPT, run_id="b" * 32, uploaded_at=MOMENT - timedelta(days=1), lines=outdated, words=outdated)
    code, out, err = market.command("show", OTHER[:8], "1")
    assert code == 0, err
    assert f"run {'b' * 32}: lines superseded by operation 1, words superseded by operation 1\n" in out
    assert f"run {RUN}: lines COMPLETED, words COMPLETED\n" in out


def test_words_are_shown_when_they_are_asked_for(market):
    assert "words: none published" in market.command("show", OTHER[:8], "1", "--words")[1]
    market.publish(RECEIPT, collection="words")
    code, out, _ = market.command("show", OTHER[:8], "1", "--words")
    assert code == 0
    assert "│ 1/3       │ [/kg]" in out


def test_json_has_rows_and_runs_in_full(market):
    market.publish(RECEIPT, collection="words")
    details = json.loads(market.command("show", OTHER, "1", "--words", "--json")[1])
    assert details["image_id"] == OTHER
    assert (details["merchant_name"], details["merchant_source"]) == ("SHOP [bold]", "resolved")
    assert [row["text"] for row in details["lines"]] == list(RECEIPT.texts)
    assert [row["word_id"] for row in details["words"]] == [1, 2, 3, 1, 2]
    assert details["runs"][0]["run_id"] == RUN
    assert json.loads(market.command("show", OTHER, "1", "--json")[1])["words"] is None


def test_a_receipt_that_is_not_published_is_shown_with_what_its_run_says(shop):
    receipt = Receipt(image=IMAGE, texts=["A"])
    run = shop.record(receipt, lines={"expected_count": 1, "delta_sha256": "0" * 64})
    error = "DELTA_INVALID: \x1b[31mred"
    shop.runs.move(run.reference, "lines", AttemptFailed(before=RunState.PENDING, error=error, gives_up=True))
    code, out, err = shop.command("show", IMAGE, "1")
    assert code == 0, err
    assert "published: no" in out
    assert "FAILED" in out
    assert "lines: DELTA_INVALID: \\x1b[31mred" in out


def test_a_receipt_that_nobody_knows_is_an_error(market):
    code, out, err = market.command("show", OTHER, "2")
    assert (code, out) == (1, "")
    assert err.startswith("RECEIPT_UNKNOWN: ")


COMMANDS = {
    "show": ("show",),
    "remove": ("remove", "--no-wait"),
    "correct": ("correct", "--no-wait", "--merchant", "M"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("beginning", "code", "told"),
    [
        (IMAGE[:8], "AMBIGUOUS_IMAGE", f"2 image ids begin with 7c1f5a20: {IMAGE}, {NEAR}"),
        (IMAGE[:35], "AMBIGUOUS_IMAGE", "give more digits"),
        ("ffffffff", "IMAGE_UNKNOWN", "begins with ffffffff"),
        ("0d9", "IMAGE_INVALID", "at least its first 4 hex digits"),
        ("%", "IMAGE_INVALID", "'%'"),
        (OTHER + "0", "IMAGE_INVALID", "give the whole id"),
    ],
)
def test_what_names_no_image_or_several_is_refused_by_every_command(market, command, beginning, code, told):
    name, *options = COMMANDS[command]
    ended, out, err = market.command(name, beginning, "1", *options)
    assert (ended, out) == (1, "")
    assert err.startswith(f"{code}: ")
    assert told in err


@pytest.mark.parametrize("command", ["remove", "correct"])
@pytest.mark.parametrize("beginning", [OTHER, OTHER[:4], OTHER[:13].upper(), OTHER.replace("-", "")])
def test_the_beginning_of_an_id_that_no_other_image_has_is_enough(market, command, beginning):
    name, *options = COMMANDS[command]
    code, out, err = market.command(name, beginning, "1", *options, "--json")
    assert code == 0, err
    assert json.loads(out)["run"]["image_id"] == OTHER


def test_before_anything_is_published_only_a_whole_id_names_an_image(shop):
    shop.record(RECEIPT)
    code, _, err = shop.command("show", OTHER[:8], "1")
    assert code == 1
    assert err.startswith("IMAGE_UNKNOWN: nothing is published")
    assert shop.command("show", OTHER, "1")[0] == 0
