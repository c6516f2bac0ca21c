"""If these fail, embeddings are paid twice, filed under the wrong text, or lost to a wrong key."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.embedding.embedders import openai as openai_module
from pipeline.embedding.embedders.base import PartlyEmbeddedError
from pipeline.embedding.embedders.factory import build_embedder
from pipeline.embedding.embedders.hashing import HASHING_MODEL, HashingEmbedder
from pipeline.embedding.embedders.kept import KeptVectors
from pipeline.embedding.embedders.minilm import MINILM_MODEL, MiniLmEmbedder, by_length
from pipeline.embedding.embedders.openai import OpenAiEmbedder
from pipeline.embedding.embedders.request_plan import MAXIMUM_INPUT_TOKENS, fit_input, plan_requests
from pipeline.embedding.environment import EmbeddingEnvironment
from pipeline.errors import ErrorCode, PermanentError, PipelineError, RetryableError
from tests.embedding.openai_api import FakeOpenAiApi, Reply, serve
from tests.stages.anything import ERRORS
from tests.stages.anything import TEXTS as ANY_TEXTS

KEY = "sk-this-must-never-be-seen"
ANSWERS = (
    *ANY_TEXTS,
    '{"data": null}',
    '{"data": []}',
    '{"data": {}}',
    '{"data": "text"}',
    '{"data": [null, null, null]}',
    '{"error": {"message": "busy"}}',
    '{"error": {"message": null, "code": [], "type": {}}}',
    '{"error": {"message": {}, "code": {"a": 1}, "type": ["insufficient_quota"]}}',
    *(
        json.dumps({"data": [{"object": "embedding", "index": place, "embedding": value} for place in range(3)]})
        for value in (None, True, 1, "", "AAAA", "%", [], [None], ["x"], [[1]], {}, [9e99], [float("inf")], [2**70])
    ),
)
"""Bodies that are no three vectors."""
TEXTS = ["MILK 1L 2.40", "TOTAL 2.40", "Café Zürich"]


OPENED: list[OpenAiEmbedder] = []


@pytest.fixture(autouse=True)
def _connections_are_closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def api() -> Iterator[FakeOpenAiApi]:
    with serve() as server:
        yield server


def embedder(api: FakeOpenAiApi, **changes: Any) -> OpenAiEmbedder:
    settings: dict[str, Any] = {
        "model": "text-embedding-3-small",
        "dimensions": 64,
        "read_key": lambda: KEY,
        "base_url": api.base_url,
        "budget_seconds": 10.0,
        "first_wait_seconds": 0.01,
    }
    made = OpenAiEmbedder(**(settings | changes))
    OPENED.append(made)
    return made


def refused(api: FakeOpenAiApi, *replies: Reply, **changes: Any) -> PipelineError:
    api.script.extend(replies)
    with pytest.raises(PipelineError) as caught:
        embedder(api, **changes).embed(TEXTS)
    assert KEY not in str(caught.value)
    return caught.value


class TestHashing:
    def test_a_misread_name_stays_near_its_name_and_far_from_others(self) -> None:
        name, misread, other = HashingEmbedder().embed(["GREENLEAF MARKET", "GREENLEAF MARKFT", "TOTAL 12.40"])
        assert name @ misread > 0.6
        assert abs(name @ other) < 0.3

    @pytest.mark.parametrize("text", ["", "   ", "a", "東京", "\ud800", "x" * 10_000])
    def test_every_text_has_a_vector_of_length_one(self, text: str) -> None:
        vectors = HashingEmbedder(32).embed([text])
        assert vectors.shape == (1, 32)
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors[0]) == pytest.approx(1.0, abs=1e-5)

    def test_no_texts_give_no_rows(self) -> None:
        assert HashingEmbedder(32).embed([]).shape == (0, 32)

    def test_another_process_gives_the_same_vectors(self) -> None:
        program = (
            "from pipeline.embedding.embedders.hashing import HashingEmbedder\n"
            "import sys; sys.stdout.buffer.write(HashingEmbedder().embed(['Café', 'TOTAL']).tobytes())"
        )
        content = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": "7"},
            capture_output=True,
            check=True,
        ).stdout
        assert content == HashingEmbedder().embed(["Café", "TOTAL"]).tobytes()


class TestMiniLm:
    def test_a_model_that_cannot_be_fetched_says_so_and_the_message_waits(self) -> None:
        def load() -> Any:
            raise httpx.ConnectError("no network")

        with pytest.raises(RetryableError, match="receipts:embedder to hashing") as caught:
            MiniLmEmbedder(load).embed(["a"])
        assert caught.value.code is ErrorCode.EMBEDDING_UNAVAILABLE

    def test_vectors_of_another_length_are_not_stored(self) -> None:
        with pytest.raises(RetryableError) as caught:
            MiniLmEmbedder(lambda: lambda texts: [np.zeros(3)] * len(texts)).embed(["a"])
        assert caught.value.code is ErrorCode.EMBEDDING_ANSWER_INVALID

    @pytest.mark.parametrize("error", ERRORS, ids=repr)
    @pytest.mark.parametrize("where", ["load", "run"])
    def test_whatever_a_damaged_model_raises_the_message_comes_back(self, where: str, error: Exception) -> None:
        def fails(*_: Any) -> Any:
            raise error

        with pytest.raises(RetryableError) as caught:
            MiniLmEmbedder(fails if where == "load" else lambda: fails).embed(["a"])
        assert caught.value.code is ErrorCode.EMBEDDING_UNAVAILABLE

    @pytest.mark.parametrize("content", [b"", b"no model", b"{}"])
    def test_files_that_are_no_model_are_told_with_a_way_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
    ) -> None:
        """With Chroma's own loader and the real ONNX runtime."""
        onnx = pytest.importorskip("chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2")
        folder = tmp_path / "onnx"
        folder.mkdir()
        for name in (
            "config.json",
            "model.onnx",
            "special_tokens_map.json",
            "tokenizer_config.json",
            "tokenizer.json",
            "vocab.txt",
        ):
            (folder / name).write_bytes(content)
        monkeypatch.setattr(onnx.ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", tmp_path)
        with pytest.raises(RetryableError, match="delete the folder if the model is damaged") as caught:
            MiniLmEmbedder().embed(["a"])
        assert caught.value.code is ErrorCode.EMBEDDING_UNAVAILABLE

    def test_texts_of_one_length_go_together_and_keep_their_order(self) -> None:
        asked: list[list[str]] = []

        def run(texts: list[str]) -> list[np.ndarray]:
            asked.append(texts)
            assert len({len(text) for text in texts}) == 1
            return [np.full(3, float(text)) for text in texts]

        texts = ["1", "22", "3", "444", "55"]
        assert [vector[0] for vector in by_length(run, len)(texts)] == [1, 22, 3, 444, 55]
        assert len(asked) == 3
        with pytest.raises(ValueError, match="zip"):
            by_length(lambda some: run(some)[1:], len)(texts)

    def test_chromas_tokenizer_pads_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With Chroma's own class, a real tokenizer, and a model that shows what it is given."""
        onnx = pytest.importorskip("chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2")
        tokenizers = pytest.importorskip("tokenizers")
        words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 1, "oat": 2}, unk_token="[UNK]"))
        words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        (tmp_path / "onnx").mkdir()
        words.save(str(tmp_path / "onnx" / "tokenizer.json"))
        shapes = []

        class Model:
            def run(self, _: object, given: dict[str, np.ndarray]) -> list[np.ndarray]:
                shapes.append(given["input_ids"].shape)
                return [np.repeat(given["input_ids"][..., None].astype(np.float32), 384, axis=-1)]

        monkeypatch.setattr(onnx.ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", tmp_path)
        monkeypatch.setattr(onnx.ONNXMiniLM_L6_V2, "_download_model_if_not_exists", lambda _: None)
        monkeypatch.setattr(onnx.ONNXMiniLM_L6_V2, "model", Model())
        vectors = MiniLmEmbedder().embed(["oat milk", "oat", "milk oat", "oat " * 300])
        assert vectors.shape == (4, 384)
        assert sorted(shapes) == [(1, 1), (1, 256), (2, 2)]

    def test_the_model_is_loaded_once(self) -> None:
        loads = []

        def load() -> Any:
            loads.append(1)
            return lambda texts: [np.ones(384, dtype=np.float32)] * len(texts)

        model = MiniLmEmbedder(load)
        assert model.embed(["a", "b"]).shape == (2, 384)
        model.embed(["c"])
        assert len(loads) == 1
        assert model.embed([]).shape == (0, 384)


class TestRequests:
    def test_requests_hold_to_both_limits_and_lose_nothing(self) -> None:
        texts = [f"{number} " + "é" * (number % 700) for number in range(5_000)]
        plan = list(plan_requests(texts))
        assert all(len(request.inputs) <= 2_048 for request in plan)
        assert all(sum(len(text.encode()) for text in request.inputs) <= 300_000 for request in plan)
        assert [text for request in plan for text in request.inputs] == texts
        assert [request.start for request in plan] == list(np.cumsum([0] + [len(r.inputs) for r in plan[:-1]]))

    def test_many_short_texts_are_split_by_count(self) -> None:
        assert [len(request.inputs) for request in plan_requests(["a"] * 4_097)] == [2_048, 2_048, 1]

    def test_an_over_long_text_is_cut_between_characters(self) -> None:
        fitted = fit_input("a" + "東" * 5_000)
        assert MAXIMUM_INPUT_TOKENS - 3 < len(fitted.encode()) <= MAXIMUM_INPUT_TOKENS
        assert set(fitted) == {"a", "東"}

    def test_an_empty_text_is_sent_as_a_space(self) -> None:
        assert next(plan_requests([""])).inputs == (" ",)


class TestOpenAi:
    def test_texts_become_vectors_in_one_request(self, api: FakeOpenAiApi) -> None:
        vectors = embedder(api).embed(TEXTS)
        np.testing.assert_allclose(vectors, HashingEmbedder(64).embed(TEXTS), atol=1e-6)
        assert len(api.requests) == 1
        assert api.requests[0]["dimensions"] == 64
        assert api.keys == [KEY]

    def test_no_texts_ask_nothing(self, api: FakeOpenAiApi) -> None:
        assert embedder(api).embed([]).shape == (0, 64)
        assert api.requests == []

    def test_many_texts_take_several_requests_and_keep_their_order(self, api: FakeOpenAiApi) -> None:
        texts = [f"item {number}" for number in range(2_050)]
        np.testing.assert_allclose(embedder(api).embed(texts), HashingEmbedder(64).embed(texts), atol=1e-6)
        assert [len(request["input"]) for request in api.requests] == [2_048, 2]

    def test_a_model_of_fixed_length_is_not_asked_for_dimensions(self, api: FakeOpenAiApi) -> None:
        embedder(api, model="text-embedding-ada-002", dimensions=1536).embed(["a"])
        assert "dimensions" not in api.requests[0]

    def test_a_429_waits_as_long_as_it_is_told(self, api: FakeOpenAiApi) -> None:
        api.script.append(Reply(status=429, code="rate_limit_exceeded", headers={"Retry-After": "0.4"}))
        started = time.monotonic()
        embedder(api).embed(TEXTS)
        assert time.monotonic() - started >= 0.4
        assert len(api.requests) == 2

    def test_a_wait_beyond_the_budget_is_not_begun(self, api: FakeOpenAiApi) -> None:
        started = time.monotonic()
        error = refused(api, Reply(status=429, headers={"Retry-After": "3600"}))
        assert time.monotonic() - started < 5
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.EMBEDDING_UNAVAILABLE
        assert len(api.requests) == 1

    @pytest.mark.parametrize("status", [408, 409, 500, 503])
    def test_a_passing_failure_is_tried_again(self, api: FakeOpenAiApi, status: int) -> None:
        api.script.extend([Reply(status=status), Reply(status=status)])
        assert embedder(api).embed(TEXTS).shape == (3, 64)
        assert len(api.requests) == 3

    def test_a_lasting_failure_uses_the_budget_up_and_no_more(self, api: FakeOpenAiApi) -> None:
        started = time.monotonic()
        error = refused(api, *[Reply(status=503)] * 1_000, budget_seconds=0.5)
        assert time.monotonic() - started < 3
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.EMBEDDING_UNAVAILABLE
        assert len(api.requests) >= 2

    def test_a_server_that_is_not_there_is_unavailable(self) -> None:
        with serve() as gone:
            pass
        with pytest.raises(RetryableError) as caught:
            embedder(gone, budget_seconds=0.2).embed(TEXTS)
        assert caught.value.code is ErrorCode.EMBEDDING_UNAVAILABLE

    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_a_refused_key_is_not_tried_again_and_loses_no_message(self, api: FakeOpenAiApi, status: int) -> None:
        error = refused(api, Reply(status=status, code="invalid_api_key"))
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.EMBEDDING_CREDENTIALS
        assert len(api.requests) == 1

    def test_a_corrected_key_is_read_without_a_restart(self) -> None:
        keys = iter(["old", "new"])
        with serve(accepted_key="new") as api:
            rotating = embedder(api, read_key=lambda: next(keys))
            with pytest.raises(RetryableError):
                rotating.embed(TEXTS)
            assert rotating.embed(TEXTS).shape == (3, 64)
            assert api.keys == ["old", "new"]

    def test_an_empty_account_is_not_tried_again(self, api: FakeOpenAiApi) -> None:
        error = refused(api, Reply(status=429, code="insufficient_quota"))
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.EMBEDDING_QUOTA
        assert len(api.requests) == 1

    def test_a_rejected_request_is_permanent(self, api: FakeOpenAiApi) -> None:
        error = refused(api, Reply(status=400, code="invalid_request"), read_key=lambda: "another")
        assert isinstance(error, PermanentError)
        assert error.code is ErrorCode.EMBEDDING_REJECTED
        assert len(api.requests) == 1

    def test_an_answer_in_another_order_is_put_right(self, api: FakeOpenAiApi) -> None:
        api.script.append(Reply(spoil="order"))
        np.testing.assert_allclose(embedder(api).embed(TEXTS), HashingEmbedder(64).embed(TEXTS), atol=1e-6)

    @pytest.mark.parametrize("spoil", ["short", "dimension", "finite", "zero"])
    def test_a_spoilt_answer_is_never_stored(self, api: FakeOpenAiApi, spoil: str) -> None:
        error = refused(api, Reply(spoil=spoil))
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.EMBEDDING_ANSWER_INVALID
        assert len(api.requests) == 1

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(status=429, code="insufficient_quota"),
            Reply(status=429, kind="insufficient_quota"),
            Reply(status=400, code="billing_hard_limit_reached"),
            Reply(status=400, kind="billing_hard_limit_reached"),
            Reply(status=429, code="billing_not_active"),
        ],
        ids=str,
    )
    def test_an_account_that_needs_its_owner_is_told_as_such_and_parks_nothing(
        self, api: FakeOpenAiApi, reply: Reply
    ) -> None:
        error = refused(api, reply)
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.EMBEDDING_QUOTA
        assert "receipts:embedConsumer to none" in error.way_out
        assert len(api.requests) == 1

    @pytest.mark.parametrize(
        "wait", ["nan", "-5", "inf", "-inf", "1e999", "soon", "Fri, 31 Dec 9999 23:59:59 -2359", ""]
    )
    def test_a_wait_that_makes_no_sense_is_replaced_by_one_of_our_own(self, api: FakeOpenAiApi, wait: str) -> None:
        api.script.append(Reply(status=429, headers={"Retry-After": wait}))
        assert embedder(api).embed(TEXTS).shape == (3, 64)
        assert len(api.requests) == 2

    @pytest.mark.parametrize("key", ["sk-a\nb", "sk-é", "sk-a b", "sk-\x00", "sk-東"])
    def test_a_key_that_no_header_can_hold_is_the_operators(self, api: FakeOpenAiApi, key: str) -> None:
        error = refused(api, read_key=lambda: key)
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.EMBEDDING_CREDENTIALS
        assert key not in str(error)
        assert api.requests == []

    @pytest.mark.parametrize("content", ANSWERS, ids=lambda content: f"{content[:30]}-{len(content)}")
    def test_whatever_is_answered_that_is_no_vectors_the_message_comes_back(
        self, api: FakeOpenAiApi, content: str
    ) -> None:
        error = refused(api, Reply(content=content))
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.EMBEDDING_ANSWER_INVALID
        assert len(str(error)) < 1_500
        assert embedder(api).embed(TEXTS).shape == (3, 64)

    @pytest.mark.parametrize("status", [400, 401])
    @pytest.mark.parametrize("content", ANSWERS, ids=lambda content: f"{content[:30]}-{len(content)}")
    def test_whatever_a_refusal_says_it_is_told_as_one_of_ours(
        self, api: FakeOpenAiApi, content: str, status: int
    ) -> None:
        error = refused(api, Reply(status=status, content=content))
        assert isinstance(error, PermanentError) is (status == 400)

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(
                status=429,
                code="rate_limit_exceeded",
                kind="tokens",
                message="Request too large for m on tokens per min",
            ),
            Reply(status=413),
            Reply(status=400, code="max_tokens_per_request"),
        ],
        ids=str,
    )
    def test_a_request_that_is_too_large_is_split_until_it_is_not(self, api: FakeOpenAiApi, reply: Reply) -> None:
        api.by_input = lambda inputs: reply if len(inputs) > 2 else None
        texts = [f"item {number}" for number in range(7)]
        np.testing.assert_allclose(embedder(api).embed(texts), HashingEmbedder(64).embed(texts), atol=1e-6)
        assert [len(request["input"]) for request in api.requests] == [7, 3, 4, 1, 2, 2, 2]

    def test_one_text_above_the_accounts_limit_is_told_to_its_owner(self, api: FakeOpenAiApi) -> None:
        error = refused(api, *[Reply(status=429, message="Request too large for m on tokens per min")] * 9)
        assert isinstance(error, RetryableError)
        assert error.code is ErrorCode.EMBEDDING_QUOTA

    def test_a_text_that_is_never_answered_does_not_take_the_others_along_and_they_are_not_paid_for_again(
        self, api: FakeOpenAiApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(openai_module, "SHORTEST_TIMEOUT_SECONDS", 0.2)
        api.by_input = lambda inputs: Reply(seconds=4) if "slow" in inputs else None
        texts = ["slow", *(f"item {number}" for number in range(7))]
        asked = embedder(api, budget_seconds=3.0)
        with pytest.raises(PartlyEmbeddedError) as caught:
            asked.embed(texts)
        assert caught.value.code is ErrorCode.EMBEDDING_UNAVAILABLE
        known = [text for text, is_known in zip(texts, caught.value.known, strict=True) if is_known]
        assert len(known) >= 4
        np.testing.assert_allclose(caught.value.rows, HashingEmbedder(64).embed(known), atol=1e-6)
        api.by_input = None
        before = len(api.requests)
        np.testing.assert_allclose(asked.embed(texts), HashingEmbedder(64).embed(texts), atol=1e-6)
        again = [text for request in api.requests[before:] for text in request["input"]]
        assert sorted(again) == sorted(set(texts) - set(known))
        asked.embed(known)
        assert api.requests[-1]["input"] == known, "what was delivered is not remembered"

    def test_what_was_answered_before_a_text_was_rejected_is_not_paid_for_again(self, api: FakeOpenAiApi) -> None:
        api.by_input = lambda inputs: Reply(status=400) if "bad" in inputs else None
        good = [f"item {number}" for number in range(2_048)]
        asked = embedder(api)
        with pytest.raises(PermanentError):
            asked.embed([*good, "bad"])
        assert asked.embed(good).shape == (2_048, 64)
        assert [len(request["input"]) for request in api.requests] == [2_048, 1]


class TestKept:
    def test_the_oldest_are_forgotten_first(self) -> None:
        kept = KeptVectors(maximum=2)
        kept.keep(["a", "b", "c"], np.eye(3, dtype=np.float32))
        vectors = np.zeros((3, 3), dtype=np.float32)
        assert kept.fill(["a", "b", "c"], vectors).tolist() == [False, True, True]
        np.testing.assert_array_equal(vectors, [[0, 0, 0], [0, 1, 0], [0, 0, 1]])
        kept.forget(["c", "never"])
        assert len(kept) == 1


class _Secrets:
    def __init__(self, value: str) -> None:
        self.value = value
        self.asked: list[str] = []

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        self.asked.append(SecretId)
        return {"SecretString": self.value}


def environment(**changes: Any) -> EmbeddingEnvironment:
    variables: dict[str, Any] = {
        "table_name": "table",
        "artifacts_bucket": "artifacts",
        "vectors_bucket": "vectors",
        "embed_dead_letter_queue_url": "http://127.0.0.1/queue",
        "embedder": "hashing",
        "embedding_model": HASHING_MODEL,
        "embedding_dimensions": 256,
        "delta_precision": "float32",
    }
    return EmbeddingEnvironment.model_validate(variables | changes)


class TestFactory:
    def test_the_key_is_read_at_first_use_and_only_once(self, api: FakeOpenAiApi) -> None:
        secrets = _Secrets(KEY)
        built = build_embedder(
            environment(
                embedder="openai",
                embedding_model="text-embedding-3-small",
                embedding_dimensions=64,
                openai_api_key_secret_arn="arn:secret",
                openai_base_url=api.base_url,
            ),
            secrets_client=secrets,
        )
        assert isinstance(built, OpenAiEmbedder)
        OPENED.append(built)
        assert secrets.asked == []
        built.embed(TEXTS)
        built.embed(TEXTS)
        assert secrets.asked == ["arn:secret"]
        assert api.keys == [KEY, KEY]

    def test_an_empty_secret_is_the_operators_to_fill(self) -> None:
        built = build_embedder(
            environment(embedder="openai", openai_api_key_secret_arn="arn:secret"), secrets_client=_Secrets(" ")
        )
        with pytest.raises(RetryableError) as caught:
            built.embed(TEXTS)
        assert caught.value.code is ErrorCode.EMBEDDING_CREDENTIALS

    def test_each_name_builds_its_embedder(self) -> None:
        assert build_embedder(environment(), secrets_client=None).model == HASHING_MODEL
        minilm = environment(embedder="minilm", embedding_model=MINILM_MODEL, embedding_dimensions=384)
        assert build_embedder(minilm, secrets_client=None).dimensions == 384

    @pytest.mark.parametrize(
        "changes",
        [
            {"embedding_model": "text-embedding-3-small"},
            {"embedder": "minilm", "embedding_model": MINILM_MODEL, "embedding_dimensions": 256},
            {"embedder": "openai"},
        ],
    )
    def test_settings_that_do_not_belong_together_are_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(PermanentError) as caught:
            build_embedder(environment(**changes), secrets_client=None)
        assert caught.value.code is ErrorCode.ENVIRONMENT_INVALID
