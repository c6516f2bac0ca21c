"""Receipts drawn as pictures."""
