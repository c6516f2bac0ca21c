"""The choice of the embed queue's consumer, and which queue is whose by it. Pure, and light to import."""

from collections.abc import Mapping
from typing import Literal

EmbedConsumer = Literal["lambda", "ecs", "hybrid", "none"]
Host = Literal["lambda", "ecs"]


def consumers(chosen: EmbedConsumer) -> Mapping[str, Host | None]:
    """Queue to its one consumer.

    With ``hybrid`` the function keeps ``embed``, to which nothing is sent then: what waited there is not lost.
    """
    if chosen == "hybrid":
        return {"embed": "lambda", "embed-lambda": "lambda", "embed-ecs": "ecs"}
    return {"embed": None if chosen == "none" else chosen}
