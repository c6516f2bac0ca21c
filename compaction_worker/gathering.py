"""Which prepared messages share one embedding request. Pure; how long to wait for more is decided in ``stages.py``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compaction_worker.held import HeldMessage
from pipeline.embedding.embedders.request_plan import MAXIMUM_INPUTS, MAXIMUM_REQUEST_TOKENS, fit_input
from pipeline.embedding.work import Work


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The messages of one group that came in one receive, in their order: they go through every stage together.

    SQS delivers no later message of the group while one of these is in flight, so no two bundles of a group meet.
    """

    messages: Sequence[HeldMessage]
    works: Sequence[Work] = ()

    @property
    def texts(self) -> Iterable[str]:
        """The texts to embed."""
        return (text for work in self.works for text in work.texts)


class Gathering:
    """Bundles that wait for an embedding request.

    Args:
        maximum_inputs: of a request.
        maximum_tokens: of a request; a token covers at least one byte, so bytes are counted.
    """

    def __init__(self, *, maximum_inputs: int = MAXIMUM_INPUTS, maximum_tokens: int = MAXIMUM_REQUEST_TOKENS) -> None:
        self._maximum_inputs = maximum_inputs
        self._maximum_tokens = maximum_tokens
        self._waiting: list[tuple[Bundle, dict[str, int]]] = []
        self._all: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether there are texts for a whole request."""
        return not self._fits(self._all)

    def add(self, bundle: Bundle) -> None:
        """Let a bundle wait."""
        sizes = {text: len(fit_input(text).encode()) for text in bundle.texts}
        self._waiting.append((bundle, sizes))
        self._all |= sizes

    def take(self) -> list[Bundle]:
        """Take what fits into one request: the bundle that waits longest, then those that fit beside it.

        A bundle of more texts than a request takes is taken alone; the embedder makes several requests of it.
        """
        taken: list[Bundle] = []
        left: list[tuple[Bundle, dict[str, int]]] = []
        request: dict[str, int] = {}
        for bundle, sizes in self._waiting:
            together = request | sizes
            if not taken or self._fits(together):
                taken.append(bundle)
                request = together
            else:
                left.append((bundle, sizes))
        self._waiting = left
        self._all = {text: size for _, sizes in left for text, size in sizes.items()}
        return taken

    def _fits(self, sizes: dict[str, int]) -> bool:
        return len(sizes) <= self._maximum_inputs and sum(sizes.values()) <= self._maximum_tokens
