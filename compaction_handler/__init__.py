"""Stage 3: the table's stream becomes lines and words messages; a merge publishes their deltas as Chroma collections."""
