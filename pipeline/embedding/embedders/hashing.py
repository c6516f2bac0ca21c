"""Hashed character n-grams: numpy only, deterministic, no model to fetch. The default without a key, and in tests.

It sees spelling, not meaning: a misread letter moves a vector a little, a synonym moves it all the way.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

HASHING_MODEL = "hashing-char-ngrams-v1"
"""Changes whenever the vectors of a text would: they are stored under this name."""

HASHING_DIMENSIONS = 256
SHORTEST_NGRAM = 3
LONGEST_NGRAM = 5
CACHED_WORDS = 32_768


class HashingEmbedder:
    """Signed feature hashing of the n-grams (3 to 5 characters) of each word between two spaces, L2-normalized."""

    model = HASHING_MODEL

    def __init__(self, dimensions: int = HASHING_DIMENSIONS) -> None:
        self.dimensions = dimensions

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts; see ``Embedder``. A text without any character has a vector of its own, of length 1 too."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            features = [_word_features(word) for word in unicodedata.normalize("NFKC", text).casefold().split()]
            hashes = np.concatenate(features or [_word_features("")])
            # The lowest bit is the sign, the others the place: the two must not depend on each other.
            signs = np.where(hashes & np.uint64(1), 1.0, -1.0)
            places = ((hashes >> np.uint64(1)) % np.uint64(self.dimensions)).astype(np.intp)
            vectors[row] = np.bincount(places, weights=signs, minlength=self.dimensions)
            if not vectors[row].any():
                # Opposite signs cancelled everything; cosine has no answer for a vector of zeros.
                vectors[row, places[0]] = 1.0
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / norms


@lru_cache(maxsize=CACHED_WORDS)
def _word_features(word: str) -> np.ndarray:
    """One unsigned 64-bit hash an n-gram; BLAKE2 and not ``hash()``, which differs from process to process."""
    padded = f" {word} "
    ngrams = [
        padded[start : start + length]
        for length in range(SHORTEST_NGRAM, LONGEST_NGRAM + 1)
        for start in range(len(padded) - length + 1)
    ] or [padded]
    digests = b"".join(hashlib.blake2b(ngram.encode("utf-8", "replace"), digest_size=8).digest() for ngram in ngrams)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
