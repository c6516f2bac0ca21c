"""Stage 1: OCR results in, NDJSON artifacts out, embed message sent; ``component.py`` deploys ``handler.py``."""
