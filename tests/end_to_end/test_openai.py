"""The thread with the real OpenAI client against a loopback server. A failure here costs money, or leaks a key."""

import os
from pathlib import Path

import pytest

from ops.importers import read_documents
from ops.local.stack import LocalStack, MissingKeyError
from ops.stacks.local import local_target
from ops.submitting import upload
from ops.waiting import wait_until_searchable
from tests.embedding.openai_api import Reply, serve

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "greenleaf-1.json"
KEY = "sk-of-this-test-alone"


@pytest.mark.long
def test_receipts_are_embedded_by_openai_through_throttling_and_the_key_is_never_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve() as api, LocalStack(tmp_path) as stack:
        api.script += [Reply(status=429, headers={"Retry-After": "0"}), Reply(status=500)]
        stack.up({"embedder": "openai", "embeddingDimensions": 64, "openaiBaseUrl": api.base_url})
        target = local_target(stack)
        uploaded = [upload(target, *item) for item in read_documents(SAMPLE)]
        result = wait_until_searchable(target, uploaded, timeout_seconds=240)
        assert result.is_complete, result
        assert result.completed[0].embedding_model == "text-embedding-3-small"
        assert (len(api.requests), set(api.keys)) == (3, {KEY})
        stack.down()
        holders = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
        assert holders == []
        stack.down(destroy=True)


@pytest.mark.long
def test_without_a_key_the_stack_says_what_is_missing_and_leaves_nothing_running(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with LocalStack(tmp_path) as stack:
        with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
            stack.up({"embedder": "openai"})
        assert not stack.is_running()
    assert not [entry for entry in os.listdir(tmp_path) if entry.endswith(".pid")]
