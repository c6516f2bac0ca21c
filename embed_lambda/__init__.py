"""Stage 2 hosted by Lambda. It decides nothing about embedding: that is ``pipeline/embedding``."""
