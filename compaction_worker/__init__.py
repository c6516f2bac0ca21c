"""Stage 2 hosted by ECS. It decides nothing about embedding: that is ``pipeline/embedding``."""
