"""The production embedder: OpenAI's embeddings API, or a gateway that speaks it. One retry policy, and it is here.

| what the API answers | what becomes of it |
| --- | --- |
| 408, 409, 429, 5xx, timeout, no connection | tried again with jitter within the budget, then EMBEDDING_UNAVAILABLE |
| 429 with ``insufficient_quota`` | EMBEDDING_QUOTA at once: waiting seconds does not fill an account |
| 401, 403, 404 | EMBEDDING_CREDENTIALS at once, retryable: the operator's mistake must not park the messages |
| 400, 413, 422 and the like | EMBEDDING_REJECTED, permanent: the same texts are refused again |
| a short, long or non-finite answer | EMBEDDING_ANSWER_INVALID, retryable |
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import numpy as np
import openai
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from pipeline.embedding.embedders.requests import PlannedRequest, plan_requests
from pipeline.errors import ErrorCode, PermanentError, RetryableError

BUDGET_SECONDS = 60.0
"""For one call of ``embed``, all its requests and waits; well below any host's own timeout."""

REQUEST_TIMEOUT_SECONDS = 30.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
INSUFFICIENT_QUOTA = "insufficient_quota"
RETRIED_STATUSES = frozenset({408, 409, 429})
CREDENTIAL_STATUSES = frozenset({401, 403, 404})
"""404 is what a key without access to a model is told."""

SERVER_ERROR = 500
ADJUSTABLE_PREFIX = "text-embedding-3"
"""Only these models take ``dimensions`` (platform.openai.com/docs/api-reference/embeddings/create)."""


class OpenAiEmbedder:
    """Embeds by the API. The key is asked for at first use, and again after it was refused.

    Args:
        model: the API's name of the model.
        dimensions: numbers a vector.
        read_key: returns the key; it is never logged nor put into an error.
        base_url: of a gateway; the API's own when None.
        budget_seconds: for one call of ``embed``.
        first_wait_seconds: upper bound of the first random wait; it doubles from there.
    """

    def __init__(
        self,
        *,
        model: str,
        dimensions: int,
        read_key: Callable[[], str],
        base_url: str | None = None,
        budget_seconds: float = BUDGET_SECONDS,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
    ) -> None:
        self.model = model
        self.dimensions = dimensions
        self._read_key = read_key
        self._base_url = base_url
        self._budget_seconds = budget_seconds
        self._jitter = wait_random_exponential(multiplier=first_wait_seconds, max=LONGEST_WAIT_SECONDS)
        self._client: openai.OpenAI | None = None

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts; see ``Embedder`` and the table above."""
        deadline = time.monotonic() + self._budget_seconds
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for request in plan_requests(texts):
            vectors[request.start : request.start + len(request.inputs)] = self._ask(request, deadline)
        return vectors

    def close(self) -> None:
        """Close the connections and forget the key; the next call of ``embed`` asks for it again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, request: PlannedRequest, deadline: float) -> np.ndarray:
        policy = Retrying(
            retry=retry_if_exception(_is_passing),
            wait=self._wait,
            stop=lambda state: time.monotonic() + state.upcoming_sleep >= deadline,
            reraise=True,
        )
        try:
            response = policy(self._send, request, deadline)
        except openai.APIError as error:
            raise self._refusal(error) from error
        return self._read(request, response)

    def _send(self, request: PlannedRequest, deadline: float) -> "openai.types.CreateEmbeddingResponse":
        if self._client is None:
            self._client = openai.OpenAI(api_key=self._read_key(), base_url=self._base_url, max_retries=0)
        remaining = max(deadline - time.monotonic(), 0.001)
        return self._client.embeddings.create(
            model=self.model,
            input=list(request.inputs),
            dimensions=self.dimensions if self.model.startswith(ADJUSTABLE_PREFIX) else openai.omit,
            timeout=min(REQUEST_TIMEOUT_SECONDS, remaining),
        )

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = 0.0
        if isinstance(error, openai.APIStatusError):
            asked = _retry_after_seconds(error.response.headers.get("retry-after", ""))
        return max(asked, self._jitter(state))

    def _refusal(self, error: openai.APIError) -> PermanentError | RetryableError:
        value = f"{self.model}: {_describe(error)}"
        if self._client is not None:
            # A gateway may quote what it was sent.
            value = value.replace(self._client.api_key, "[key]")
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        if error.code == INSUFFICIENT_QUOTA:
            return RetryableError(
                ErrorCode.EMBEDDING_QUOTA,
                value=value,
                rule="the account has credit for the request",
                way_out="add credit or raise the account's limit; the messages wait on the queue",
            )
        if status in CREDENTIAL_STATUSES:
            # The key is forgotten, so that a corrected secret is read without a new deployment.
            self.close()
            return RetryableError(
                ErrorCode.EMBEDDING_CREDENTIALS,
                value=value,
                rule="the key is valid and may use the model",
                way_out="correct the secret named by openaiApiKeySecretArn, or set receipts:embedConsumer to none "
                "until it is corrected; messages that ran out of receives are redriven from the dead letter queue",
            )
        if _is_passing(error):
            return RetryableError(
                ErrorCode.EMBEDDING_UNAVAILABLE,
                value=value,
                rule=f"the API answers within {self._budget_seconds:g} s, waits included",
                way_out="nothing to do: the message is delivered again; see the provider's status page if it lasts",
            )
        if status is None:
            return self._invalid(value, "an answer is of the API's form")
        return PermanentError(
            ErrorCode.EMBEDDING_REJECTED,
            value=value,
            rule="the API accepts the request",
            way_out="read the API's reason; correct the receipt or the model's settings and upload it again",
        )

    def _read(self, request: PlannedRequest, response: "openai.types.CreateEmbeddingResponse") -> np.ndarray:
        expected = len(request.inputs)
        data = response.data or []
        if sorted(item.index for item in data) != list(range(expected)):
            raise self._invalid(f"{len(data)} vectors for {expected} inputs", "one vector an input, each index once")
        lengths = {len(item.embedding) for item in data}
        if lengths != {self.dimensions}:
            raise self._invalid(f"vectors of {sorted(lengths)} numbers", f"a vector has {self.dimensions} numbers")
        vectors = np.zeros((expected, self.dimensions), dtype=np.float32)
        for item in data:
            vectors[item.index] = item.embedding
        if not np.isfinite(vectors).all():
            raise self._invalid("a number is not finite", "vectors hold finite numbers")
        return vectors

    def _invalid(self, value: str, rule: str) -> RetryableError:
        return RetryableError(
            ErrorCode.EMBEDDING_ANSWER_INVALID,
            value=f"{self.model}: {value}",
            rule=rule,
            way_out="check that embeddingModel and embeddingDimensions belong together and that the address is the "
            "API's; the message is delivered again",
        )


def _is_passing(error: BaseException) -> bool:
    """True when the same request may succeed in seconds."""
    if isinstance(error, openai.APIStatusError):
        if error.code == INSUFFICIENT_QUOTA:
            return False
        return error.status_code in RETRIED_STATUSES or error.status_code >= SERVER_ERROR
    return isinstance(error, openai.APIConnectionError)


def _describe(error: openai.APIError) -> str:
    # The API quotes a part of a refused key in its message, so for credentials only the status is told.
    if isinstance(error, openai.APIStatusError):
        reason = error.code or type(error).__name__
        hidden = error.status_code in CREDENTIAL_STATUSES
        return f"HTTP {error.status_code} {reason}" + ("" if hidden else f": {error.message}")
    return f"{type(error).__name__}: {error.message}"


def _retry_after_seconds(header: str) -> float:
    """Seconds the API asks to wait: ``Retry-After`` as a number or a date, 0 without one."""
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    return max((moment.astimezone(UTC) - datetime.now(UTC)).total_seconds(), 0.0)
