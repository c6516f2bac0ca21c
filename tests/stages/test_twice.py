"""What was paid for in a batch that failed is not paid for at its next delivery. A failure here pays twice."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.embedding.embedders.openai import OpenAiEmbedder
from pipeline.embedding.work import Disposition
from tests.embedding.openai_api import FakeOpenAiApi, Reply, serve
from tests.stages.embedding_world import EmbeddingWorld, dispositions


@pytest.fixture
def api() -> Iterator[FakeOpenAiApi]:
    with serve() as server:
        yield server


@pytest.fixture
def paying(world: EmbeddingWorld, api: FakeOpenAiApi) -> Iterator[EmbeddingWorld]:
    """The world with the real client in front of a fake API."""
    embedder = OpenAiEmbedder(
        model="text-embedding-3-small",
        dimensions=4,
        read_key=lambda: "key",
        base_url=api.base_url,
        budget_seconds=30.0,
        first_wait_seconds=0.01,
    )
    world.core = replace(world.core, embedder=embedder)
    yield world
    embedder.close()


def asked(api: FakeOpenAiApi) -> list[str]:
    return [text for request in api.requests for text in request["input"]]


def test_a_batch_that_fails_half_way_pays_for_each_text_once(paying, api):
    # More texts than one request takes: the account is empty after the first.
    texts = [tuple(f"r{receipt} line {line}" for line in range(700)) for receipt in range(1, 4)]
    messages = [paying.message(number, lines) for number, lines in enumerate(texts, 1)]
    incoming = [paying.incoming(message, f"m{number}") for number, message in enumerate(messages)]
    answered: list[str] = []

    def only_the_first(inputs: list[str]) -> Reply | None:
        if answered:
            return Reply(status=429, code="insufficient_quota")
        answered.extend(inputs)
        return None

    api.by_input = only_the_first
    first = dispositions(paying, *incoming)
    assert Disposition.RETRY in first
    assert answered
    api.by_input = None
    before = len(api.requests)
    again = [item for item, found in zip(incoming, first, strict=True) if found is Disposition.RETRY]
    assert dispositions(paying, *again) == [Disposition.EMBEDDED] * len(again)
    paid = [*answered, *(text for request in api.requests[before:] for text in request["input"])]
    assert len(paid) == len(set(paid)), "a text was paid for twice"
    for message in messages:
        (run,) = paying.runs.of_receipt(message.image_id, message.receipt_id)
        assert paying.deltas(run) == 2


def test_one_file_that_is_uploaded_twice_in_one_batch_is_paid_for_once(paying, api):
    message = paying.message()
    batch = [paying.incoming(message, "m1"), paying.incoming(message, "m2")]
    assert dispositions(paying, *batch) == [Disposition.EMBEDDED, Disposition.SKIPPED]
    texts = asked(api)
    assert len(texts) == len(set(texts))
    assert dispositions(paying, *batch) == [Disposition.SKIPPED] * 2
    assert asked(api) == texts
