"""Choices of the settings: who consumes each embed queue, and what reads pictures. Pure."""

from collections.abc import Mapping
from typing import Literal

EmbedConsumer = Literal["lambda", "ecs", "hybrid", "none"]
Host = Literal["lambda", "ecs"]
OcrEngine = Literal["none", "tesseract"]
"""What reads pictures; with ``none`` there is no stage 0, and only OCR results are taken."""


def consumers(chosen: EmbedConsumer) -> Mapping[str, Host | None]:
    """Queue to its one consumer.

    With ``hybrid`` the function keeps ``embed``, to which nothing is sent then: what waited there is not lost.
    """
    if chosen == "hybrid":
        return {"embed": "lambda", "embed-lambda": "lambda", "embed-ecs": "ecs"}
    return {"embed": None if chosen == "none" else chosen}
