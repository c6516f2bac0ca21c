"""Receipts for benchmarks: made up with the repetition of real ones, or the real ones where they are at hand.

``generator.py`` makes them, ``sources.py`` chooses and loads, ``shape.py`` says how often texts repeat.
``python -m benchmarks.receipts`` prints the shape of both. Nothing here is a fixture of the product's own tests.
"""
