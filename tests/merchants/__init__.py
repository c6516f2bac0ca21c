"""Tests of ``pipeline/merchants``."""
