"""``receipts search``: what is asked is understood, and what is found is shown as it is.

A failure sends an operator to the wrong receipt, or lets a receipt write to the operator's terminal.
"""

import json
import random
import re
from typing import Any
from uuid import UUID

import pytest

from ops import searching
from ops.published import published_version
from ops.visible import visible
from pipeline.errors import ErrorCode, RetryableError
from tests.operations.published import Receipt, Shop

ONE = "7c1f5a20-3b64-4e8d-9a10-000000000001"
TWO = "7c1f5a20-3b64-4e8d-9a10-000000000012"
WIDE = "".join(chr(ord(letter) + 0xFEE0) for letter in "GREENLEAFMARKET")
OTHER = "0d9e1f42-11aa-4bcd-8e01-aabbccddeeff"
WHATEVER = ("--max-distance", "2")
"""Shows what is near by coincidence as well."""


@pytest.fixture
def market(shop: Shop) -> Shop:
    shop.publish(
        Receipt(image=ONE, merchant="GREENLEAF MARKET", texts=["GREENLEAF MARKET", "OAT MILK 1L 2.10", "TOTAL 2.10"]),
        Receipt(image=TWO, merchant="Greenleaf Märket", texts=["OAT MILK BARISTA 2.90", "TOTAL 2.90"]),
        Receipt(image=OTHER, merchant="Greenleaf-Market", texts=["OATMILK 3.10"], number=2),
        Receipt(image=OTHER, texts=["BOLTS M6", "TOTAL 7.00"], number=1),
    )
    return shop


def found(market: Shop, *words: str) -> list[dict]:
    code, out, err = market.command("search", *words, "--json")
    assert code == 0, err
    return json.loads(out)["matches"]


def refusal(market: Shop, *words: str) -> str:
    code, out, err = market.command(*words)
    assert (code, out) == (1, "")
    return err


def test_the_table_says_where_each_match_is_and_ids_in_it_are_accepted(market):
    code, out, _ = market.command("search", "oat milk")
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert code == 0
    assert lines[0][:4] == [ONE, "1", "2", "GREENLEAF MARKET"]
    assert lines[0][5] == "OAT MILK 1L 2.10"
    shown = {line[0] for line in lines}
    assert {ONE, TWO, OTHER[:8]} == shown
    for image in shown:
        assert found(market, "milk", "--image", image)


def test_json_has_the_whole_match(market):
    (match,) = found(market, "bolts m6", "--limit", "1")
    assert match == {
        "id": f"IMAGE#{OTHER}#RECEIPT#00001#LINE#00001",
        "text": "BOLTS M6",
        "distance": pytest.approx(0, abs=1e-5),
        "image": OTHER[:8],
        "image_id": OTHER,
        "receipt_id": 1,
        "line_id": 1,
        "run_id": "a" * 32,
        "confidence": 0.97,
        "x": 0.1,
        "y": 0.1,
        "width": 0.5,
        "height": 0.02,
    }


@pytest.mark.parametrize("name", ["GREENLEAF MARKET", "greenleaf market", " Greenleaf  Market ", WIDE])
def test_every_spelling_of_a_merchant_finds_the_receipts_of_all_its_spellings(market, name):
    merchants = {match["merchant_name"] for match in found(market, "oat milk", "--merchant", name)}
    assert merchants == {"GREENLEAF MARKET", "Greenleaf-Market"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--merchant", "greenleaf"], "MERCHANT_UNKNOWN: no such merchant 'greenleaf' in version"),
        (["--merchant", "greenleaf"], ", did you mean 'GREENLEAF MARKET' or 'Greenleaf Märket'"),
        (["--merchant", "GRENLEAF MARKT"], ", did you mean 'GREENLEAF MARKET'"),
        (["--merchant", "xyzzy"], "MERCHANT_UNKNOWN"),
        (["--merchant", ""], "MERCHANT_EMPTY"),
        (["--merchant", " \t"], "MERCHANT_EMPTY"),
        (["--image", "ffffffff"], "IMAGE_UNKNOWN"),
        (["--image", "7c1"], "IMAGE_INVALID"),
        (["--image", "receipt"], "IMAGE_INVALID"),
        (["--image", ONE, "--receipt", "3"], "RECEIPT_UNKNOWN"),
        (["--max-distance", "0.5", "--mode", "text"], "DISTANCE_INVALID"),
        (["--collection", "words"], "NOTHING_PUBLISHED"),
    ],
)
def test_what_names_nothing_is_refused_with_a_way_out(market, words, told):
    error = refusal(market, "search", "oat milk", *words)
    assert told in error
    assert "Way out: " in error


@pytest.mark.parametrize("text", ["", "   ", "\t\n"])
def test_an_empty_query_is_refused_before_anything_is_read(shop, text):
    assert refusal(shop, "search", text).startswith("QUERY_EMPTY: ")


def test_filters_by_image_and_receipt_are_exact(market):
    assert {match["image_id"] for match in found(market, "total", "--image", "7c1f5a20", *WHATEVER)} == {ONE, TWO}
    assert {
        match["image_id"] for match in found(market, "total", "--image", TWO.replace("-", "").upper(), *WHATEVER)
    } == {TWO}
    (match,) = found(market, "total", "--image", OTHER, "--receipt", "2", *WHATEVER)
    assert match["text"] == "OATMILK 3.10"


def test_a_largest_distance_leaves_out_what_only_fills_up(market):
    everything = found(market, "oat milk", *WHATEVER)
    near = found(market, "oat milk", "--max-distance", "0.6")
    assert 0 < len(near) < len(everything)
    assert all(match["distance"] <= 0.6 for match in near)
    assert found(market, "zzzzzz", "--max-distance", "0.01") == []


def test_without_a_distance_what_is_near_by_coincidence_is_left_out(market):
    assert found(market, "zzzzzz", *WHATEVER)
    assert found(market, "zzzzzz") == []
    assert "--max-distance 2 shows the nearest" in market.command("search", "zzzzzz")[1]
    assert "nothing matches" in market.command("search", "zzzzzz", "--max-distance", "0.01")[1]


def test_mode_text_needs_no_embedder_and_other_modes_say_so(market, monkeypatch):
    def fail(*arguments, **keywords):
        raise RetryableError(
            ErrorCode.EMBEDDING_CREDENTIALS, value="no key", rule="there is one", way_out="put the key there"
        )

    monkeypatch.setattr(searching, "build_embedder", fail)
    matches = found(market, "milk", "--mode", "text")
    assert {match["text"] for match in matches} == {"OAT MILK 1L 2.10", "OAT MILK BARISTA 2.90", "OATMILK 3.10"}
    assert {match["distance"] for match in matches} == {None}
    assert market.command("search", "milk", "--mode", "text")[0] == 0
    error = refusal(market, "search", "milk", "--mode", "vector")
    assert error.startswith("EMBEDDING_CREDENTIALS: ")
    assert "--mode text" in error


def test_without_a_vector_only_letters_can_be_asked(market):
    with published_version(market.target, "lines") as published:
        asked: tuple[dict[str, Any], ...] = (
            {"mode": "hybrid"},
            {"mode": "vector"},
            {"mode": "text", "maximum_distance": 0.5},
        )
        for keywords in asked:
            with pytest.raises(ValueError, match="without a vector"):
                published.search("milk", None, limit=1, **keywords)


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_every_mode_gives_as_many_matches_as_were_asked_for(shop, mode):
    shop.publish(Receipt(image=ONE, texts=[f"ITEM {number}" for number in range(100)]))
    assert len(found(shop, "item", "--mode", mode, "--limit", "100")) == 100


def test_a_version_of_another_model_is_not_asked_with_vectors_of_this_one(market):
    market.target.outputs["embeddingModel"] = "another"
    assert refusal(market, "search", "milk").startswith("MODEL_CHANGED: ")
    assert found(market, "milk", "--mode", "text")


TEXTS = [
    "GREEN TEA [/kg]",
    "SODA [bold]large[/bold] 1.10",
    ":smile: 2.00",
    "\x1b[31mRED\x1b[0m",
    "C1 \x9b1m",
    "A\rB\u202eC\u2028D",
]


@pytest.mark.parametrize("width", [None, "40", "60", "80", "150"])
def test_every_character_is_shown_literally_and_none_reaches_the_terminal_raw(shop, monkeypatch, width):
    shop.publish(Receipt(image=ONE, merchant="SHOP [/north]\x07", texts=TEXTS))
    if width:
        monkeypatch.setenv("COLUMNS", width)
    code, out, err = shop.command("search", "[bold] :smile: \x1b[0m", *WHATEVER)
    assert code == 0, err
    assert all(character == "\n" or character.isprintable() for character in out)
    letters = re.sub(r"[\s│]", "", out)
    # In a narrow table a text continues below, beside what is in the other columns.
    for text in [] if width == "80" else [*TEXTS, "SHOP [/north]\x07", ONE[:8]]:
        assert re.sub(r"\s", "", visible(text)) in letters
    code, out, _ = shop.command("show", ONE, "1")
    assert all(character == "\n" or character.isprintable() for character in out)
    assert [match["text"] for match in found(shop, "red", "--limit", "1")] == ["\x1b[31mRED\x1b[0m"]


def test_an_error_that_quotes_data_is_shown_literally(shop):
    shop.publish(Receipt(image=ONE, merchant="\x1b[31mSHOP", texts=["A"]))
    assert "\x1b" not in refusal(shop, "search", "a", "--merchant", "SHOP")


def test_a_word_is_named_by_line_and_word(shop):
    shop.publish(Receipt(image=ONE, texts=["OAT MILK", "TOTAL 2.10"]), collection="words")
    code, out, _ = shop.command("search", "total", "--collection", "words", "--limit", "1")
    assert code == 0
    assert "line/word" in out
    assert "│ 2/1 " in out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [b] :smile: Å 日本", "plain [b] :smile: Å 日本"),
        ("\x1b[0m\x00\x7f\x9b", "\\x1b[0m\\x00\\x7f\\x9b"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202e\ufeff\u2028\udc80", "\\u202e\\ufeff\\u2028\\udc80"),
        ("👩\u200d🌾", "👩\u200d🌾"),
    ],
)
def test_visible_writes_out_what_a_terminal_would_act_on(text, shown):
    assert visible(text) == shown


def test_every_word_that_stands_once_is_found_first_among_words_that_stand_everywhere(shop):
    """Equal and nearly equal texts crowd an index; one record a distinct text, asked exactly, finds them all."""
    draw = random.Random(7)  # noqa: S311 - repeatable, not secret
    common = ["TOTAL", "SUBTOTAL", "CASH", "CHANGE", "TAX", "QTY", "PRICE", "ITEM", "RM", "1", "2", "DATE", "TIME"]
    once: list[str] = []
    receipts = []
    for number in range(12):
        lines = []
        for line in range(8):
            words = [*draw.choices(common, k=3), f"{draw.randint(0, 60)}.{draw.randint(0, 99):02d}"]
            if line % 4 == 0:
                once.append("".join(draw.choices("BCDFGHJKLMNPQRSTVWXZ", k=draw.randint(6, 9))))
                words.append(once[-1])
            lines.append(" ".join(words))
        receipts.append(Receipt(image=str(UUID(int=number + 1)), texts=lines))
    shop.publish(*receipts, collection="words")
    assert len(set(once)) == len(once) == 24
    for mode in ("vector", "hybrid"):
        first = [
            searching.search(shop.target, word, collection="words", limit=1, mode=mode).matches[0]["text"]
            for word in once
        ]
        assert first == once, mode
