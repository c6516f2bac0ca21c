"""all-MiniLM-L6-v2 by Chroma's own ONNX runtime wrapper: runs here, downloads its model once (about 80 MB).

chromadb is imported at first use only: importing it costs about a second.
"""

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.contracts.delta import have_directions
from pipeline.errors import SHOWN_CHARACTERS, ErrorCode, RetryableError

MINILM_MODEL = "all-MiniLM-L6-v2"
MINILM_DIMENSIONS = 384
"""The model's only vector length (huggingface.co/sentence-transformers/all-MiniLM-L6-v2)."""

Run = Callable[[list[str]], list[np.ndarray]]


def _load_chroma_model() -> Run:
    # pyrefly: ignore [missing-import]
    from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2  # noqa: PLC0415

    model = ONNXMiniLM_L6_V2()
    model._download_model_if_not_exists()
    # Chroma pads every text to 256 word pieces, and a line of a receipt has about 8: 32 times the work.
    tokenizer = model.tokenizer
    tokenizer.no_padding()
    return by_length(model, lambda text: len(tokenizer.encode(text).ids))


def by_length(run: Run, length: Callable[[str], int]) -> Run:
    """A model that is given texts of one length at a time, so that none needs padding; vectors keep the texts' order.

    Args:
        run: the model, which takes texts of equal length only.
        length: of a text, in the model's pieces.
    """

    def run_by_length(texts: list[str]) -> list[np.ndarray]:
        groups: dict[int, list[int]] = {}
        for position, text in enumerate(texts):
            groups.setdefault(length(text), []).append(position)
        vectors: dict[int, np.ndarray] = {}
        for positions in groups.values():
            found = run([texts[position] for position in positions])
            vectors |= dict(zip(positions, found, strict=True))
        return [vectors[position] for position in range(len(texts))]

    return run_by_length


class MiniLmEmbedder:
    """The local sentence model. Texts beyond 256 word pieces are truncated by the model itself.

    Args:
        load: returns the model; called at first use.
    """

    model = MINILM_MODEL
    dimensions = MINILM_DIMENSIONS

    def __init__(self, load: Callable[[], Run] = _load_chroma_model) -> None:
        self._load = load
        self._run: Run | None = None

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts; see ``Embedder``.

        Raises:
            RetryableError: EMBEDDING_UNAVAILABLE when the model cannot be fetched or loaded, EMBEDDING_ANSWER_INVALID
                when it gives vectors of another shape.
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        try:
            if self._run is None:
                self._run = self._load()
            vectors = np.asarray(self._run(list(texts)), dtype=np.float32)
        # The network, the archive, the tokenizer and the ONNX runtime each raise types of their own.
        except Exception as error:
            # A model that broke is loaded again, from what the operator put there.
            self._run = None
            raise RetryableError(
                ErrorCode.EMBEDDING_UNAVAILABLE,
                value=f"{MINILM_MODEL}: {type(error).__name__}: {error}"[:SHOWN_CHARACTERS],
                rule="the model is downloaded once, at first use, into ~/.cache/chroma/onnx_models, and is whole there",
                way_out="give the host a way to the network once or put the model's folder there; delete the folder if "
                "the model is damaged; or set receipts:embedder to hashing, which needs no model",
            ) from error
        if vectors.shape != (len(texts), self.dimensions) or not have_directions(vectors):
            raise RetryableError(
                ErrorCode.EMBEDDING_ANSWER_INVALID,
                value=f"{MINILM_MODEL} gave vectors of shape {vectors.shape}, or numbers that are not finite",
                rule=f"{len(texts)} texts give {len(texts)} x {self.dimensions} finite numbers",
                way_out="delete the model's folder in ~/.cache/chroma/onnx_models; it is fetched again",
            )
        return vectors
