"""Stages 0 and 1: pictures to OCR results (``pictures/``), OCR results to NDJSON artifacts and embed messages.

``component.py`` deploys ``handler.py`` and, with ``receipts:ocr``, what is in ``pictures/``.
"""
