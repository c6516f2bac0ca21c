"""The production embedder: OpenAI's embeddings API, or a gateway that speaks it. One retry policy, and it is here.

| what the API answers | what becomes of it |
| --- | --- |
| 408, 409, 429, 5xx, no connection | tried again with jitter within the budget, then EMBEDDING_UNAVAILABLE |
| 413, "request too large", no answer in time | asked again in halves, within the budget |
| 429 for one text above the account's tokens a minute | EMBEDDING_QUOTA at once: waiting does not raise a limit |
| any status with a code or type of ``QUOTA_REASONS`` | EMBEDDING_QUOTA at once: waiting fills no account |
| 401, 403, 404, or no usable key | EMBEDDING_CREDENTIALS at once, retryable: no dead letter for an operator's mistake |
| 400, 413, 422 and the like | EMBEDDING_REJECTED, permanent: the same texts are refused again |
| anything but one vector an input, whatever it is | EMBEDDING_ANSWER_INVALID, retryable |

What was answered before a call failed is kept in memory, so that the next call for the same texts does not pay again.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import numpy as np
import openai
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from pipeline.contracts.delta import have_directions
from pipeline.embedding.embedders.base import PartlyEmbeddedError
from pipeline.embedding.embedders.kept import KeptVectors
from pipeline.embedding.embedders.request_plan import PlannedRequest, halves, plan_requests
from pipeline.errors import SHOWN_CHARACTERS, ErrorCode, PermanentError, PipelineError, RetryableError

BUDGET_SECONDS = 60.0
"""For one call of ``embed``, all its requests and waits; well below any host's own timeout."""

REQUEST_TIMEOUT_SECONDS = 30.0
SHORTEST_TIMEOUT_SECONDS = 5.0
"""A request gets half of the time that is left, so that its halves have some too, but not less than this."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
QUOTA_REASONS = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""Codes and types of errors that an account's owner mends (platform.openai.com/docs/guides/error-codes)."""
TOO_LARGE_STATUS, TOO_LARGE_CODE, TOO_LARGE_WORDS = 413, "max_tokens_per_request", "request too large"
"""The words are those of a 429 for one request above the account's tokens a minute, whose code is any rate limit's."""
RETRIED_STATUSES = frozenset({408, 409, 429})
RATE_LIMIT_STATUS = 429
CREDENTIAL_STATUSES = frozenset({401, 403, 404})
"""404 is the answer to a key without access to a model."""

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
        self._kept = KeptVectors()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts; see ``Embedder`` and the table above."""
        deadline = time.monotonic() + self._budget_seconds
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        known = self._kept.fill(texts, vectors)
        asked = np.flatnonzero(~known).tolist()
        waiting = deque(plan_requests([texts[place] for place in asked]))
        try:
            while waiting:
                request = waiting.popleft()
                places = asked[request.start : request.start + len(request.inputs)]
                try:
                    vectors[places] = self._ask(request, deadline)
                except openai.APIError as error:
                    if not _should_split(error, request):
                        raise self._refusal(error) from error
                    # Behind the others, which must not wait for a text that is never answered.
                    waiting.extend(halves(request))
                else:
                    known[places] = True
        except PipelineError as error:
            self._kept.keep([text for text, is_known in zip(texts, known, strict=True) if is_known], vectors[known])
            if isinstance(error, RetryableError) and known.any():
                raise PartlyEmbeddedError(error, vectors=vectors, known=known) from error
            raise
        self._kept.forget(texts)
        return vectors

    def close(self) -> None:
        """Close the connections and forget the key; the next call of ``embed`` asks for it again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, request: PlannedRequest, deadline: float) -> np.ndarray:
        """Send one request until it is answered.

        Raises:
            APIError: what the API refused with, when trying the same again does not help or the time is over.
            RetryableError: EMBEDDING_ANSWER_INVALID, EMBEDDING_CREDENTIALS, EMBEDDING_UNAVAILABLE.
        """
        policy = Retrying(
            retry=retry_if_exception(lambda error: _is_passing(error) and not _should_split(error, request)),
            wait=self._wait,
            stop=lambda state: time.monotonic() + state.upcoming_sleep >= deadline,
            reraise=True,
        )
        try:
            return self._read(request, policy(self._send, request, deadline))
        except (openai.APIError, PipelineError):
            raise
        # The client raises many types for an answer that is no JSON, or JSON of another form.
        except Exception as error:
            raise self._invalid(f"{type(error).__name__}: {error}", "an answer is of the API's form") from error

    def _send(self, request: PlannedRequest, deadline: float) -> "openai.types.CreateEmbeddingResponse":
        if self._client is None:
            self._client = openai.OpenAI(api_key=self._usable_key(), base_url=self._base_url, max_retries=0)
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise self._unavailable("the time was over before every text was sent")
        return self._client.embeddings.create(
            model=self.model,
            input=list(request.inputs),
            dimensions=self.dimensions if self.model.startswith(ADJUSTABLE_PREFIX) else openai.omit,
            timeout=min(REQUEST_TIMEOUT_SECONDS, remaining, max(remaining / 2, SHORTEST_TIMEOUT_SECONDS)),
        )

    def _usable_key(self) -> str:
        key = self._read_key()
        if not key.isascii() or not key.isprintable() or " " in key:
            raise RetryableError(
                ErrorCode.EMBEDDING_CREDENTIALS,
                value=f"a key of {len(key)} characters, one of them a blank, a line break or no ASCII character",
                rule="the key is one word of ASCII characters, because it is sent in an HTTP header",
                way_out="put the key alone into the secret; the messages wait on the queue",
            )
        return key

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
        if _is_quota(error) or (status == RATE_LIMIT_STATUS and _is_too_large(error)):
            return RetryableError(
                ErrorCode.EMBEDDING_QUOTA,
                value=value,
                rule="the account has credit, and limits that one text stays below",
                way_out="add credit or raise the account's limit, or set receipts:embedConsumer to none until that is "
                "done; messages that ran out of receives are redriven from the dead letter queue",
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
            return self._unavailable(value)
        if status is None:
            return self._invalid(_describe(error), "an answer is of the API's form")
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
        with np.errstate(over="ignore"):
            for item in data:
                vectors[item.index] = item.embedding
        if not have_directions(vectors):
            raise self._invalid("a vector that is not finite or has no length", "a vector has a direction")
        return vectors

    def _unavailable(self, value: str) -> RetryableError:
        return RetryableError(
            ErrorCode.EMBEDDING_UNAVAILABLE,
            value=value,
            rule=f"the API answers within {self._budget_seconds:g} s, waits included",
            way_out="nothing to do: the message is delivered again; see the provider's status page if it lasts",
        )

    def _invalid(self, value: str, rule: str) -> RetryableError:
        return RetryableError(
            ErrorCode.EMBEDDING_ANSWER_INVALID,
            value=f"{self.model}: {value[:SHOWN_CHARACTERS]}",
            rule=rule,
            way_out="check that embeddingModel and embeddingDimensions belong together and that the address is the "
            "API's; the message is delivered again",
        )


def _is_passing(error: BaseException) -> bool:
    """True when the same request may succeed in seconds."""
    if isinstance(error, openai.APIStatusError):
        if _is_quota(error) or _is_too_large(error):
            return False
        return error.status_code in RETRIED_STATUSES or error.status_code >= SERVER_ERROR
    return isinstance(error, openai.APIConnectionError)


def _is_quota(error: openai.APIError) -> bool:
    """True when an account's owner must act; the API says so by a code, by a type, or by both."""
    return any(isinstance(reason, str) and reason in QUOTA_REASONS for reason in (error.code, error.type))


def _is_too_large(error: openai.APIError) -> bool:
    return isinstance(error, openai.APIStatusError) and (
        error.status_code == TOO_LARGE_STATUS
        or error.code == TOO_LARGE_CODE
        or TOO_LARGE_WORDS in error.message.lower()
    )


def _should_split(error: BaseException, request: PlannedRequest) -> bool:
    """True when smaller requests may succeed where this one did not."""
    if len(request.inputs) == 1 or not isinstance(error, openai.APIError) or _is_quota(error):
        return False
    return isinstance(error, openai.APITimeoutError) or _is_too_large(error)


def _describe(error: openai.APIError) -> str:
    # The API quotes a part of a refused key in its message, so for credentials only the status is given.
    if isinstance(error, openai.APIStatusError):
        reason = error.code or type(error).__name__
        hidden = error.status_code in CREDENTIAL_STATUSES
        return f"HTTP {error.status_code} {reason}" + ("" if hidden else f": {error.message}")[:SHOWN_CHARACTERS]
    return f"{type(error).__name__}: {error.message}"[:SHOWN_CHARACTERS]


def _retry_after_seconds(header: str) -> float:
    """Seconds the API asks to wait: ``Retry-After`` as a number or a date, 0 without one that makes sense."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
