"""Texts in, vectors out: three embedders behind one protocol. Which one is a setting; ``factory.py`` builds it."""
