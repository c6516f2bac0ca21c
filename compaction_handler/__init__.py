"""Stage 3: stream records become lines and words messages; a merge publishes their deltas as Chroma collections."""
