"""Tests of ``pipeline/embedding``."""
