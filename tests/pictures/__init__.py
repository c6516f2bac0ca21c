"""Tests of stage 0; ``files.py`` makes the pictures."""
