"""Plans embedding requests within the API's limits. Pure, and no tokenizer: bytes bound tokens from above.

Limits: platform.openai.com/docs/api-reference/embeddings/create. A token covers at least one byte of UTF-8, so a
text of n bytes is at most n tokens: the plan may make a request more than needed and never one too large.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAXIMUM_INPUTS = 2_048
"""Inputs a request."""

MAXIMUM_REQUEST_TOKENS = 300_000
"""Tokens a request, over all its inputs."""

MAXIMUM_INPUT_TOKENS = 8_192
"""Tokens an input."""

EMPTY_INPUT = " "
"""Sent for an empty text: the API refuses an empty input, and one such row must not fail its neighbours."""


@dataclass(frozen=True, kw_only=True)
class PlannedRequest:
    """One request: its inputs, and the position of the first of them in the caller's texts."""

    start: int
    inputs: tuple[str, ...]


def fit_input(text: str) -> str:
    """The text as it is sent: cut to 8,192 bytes at a character's boundary, lone surrogates replaced.

    A line of a receipt is far shorter. The cut is by bytes, so a longer text may lose words that would still have fit.
    """
    content = text.encode("utf-8", "replace")
    if not content:
        return EMPTY_INPUT
    return content[:MAXIMUM_INPUT_TOKENS].decode("utf-8", "ignore")


def halves(request: PlannedRequest) -> tuple[PlannedRequest, PlannedRequest]:
    """The same inputs in two requests, for one of at least two that was too large or too slow."""
    middle = len(request.inputs) // 2
    return (
        PlannedRequest(start=request.start, inputs=request.inputs[:middle]),
        PlannedRequest(start=request.start + middle, inputs=request.inputs[middle:]),
    )


def plan_requests(
    texts: Sequence[str],
    *,
    maximum_inputs: int = MAXIMUM_INPUTS,
    maximum_tokens: int = MAXIMUM_REQUEST_TOKENS,
) -> Iterator[PlannedRequest]:
    """Split texts, in order, into as few requests as the limits allow.

    Args:
        texts: any number of texts, of any length.
        maximum_inputs: inputs a request.
        maximum_tokens: tokens a request, counted as bytes; not below ``MAXIMUM_INPUT_TOKENS``.
    """
    inputs: list[str] = []
    tokens = 0
    for position, text in enumerate(texts):
        fitted = fit_input(text)
        size = len(fitted.encode())
        if inputs and (len(inputs) == maximum_inputs or tokens + size > maximum_tokens):
            yield PlannedRequest(start=position - len(inputs), inputs=tuple(inputs))
            inputs, tokens = [], 0
        inputs.append(fitted)
        tokens += size
    if inputs:
        yield PlannedRequest(start=len(texts) - len(inputs), inputs=tuple(inputs))
