"""Stage 0: a picture of a receipt in, an OCR result out; on only with the setting ``receipts:ocr``.

``kinds.py`` says what a file is, ``pages.py`` opens it within limits, ``upright.py`` and ``engine.py`` read a page,
``reading.py`` makes OCR results of a whole file. All that touches the picture's bytes runs in a process of its own
(``child.py``), which can be killed. What an OCR result is, is not decided here: see ``upload_images/formats``.
"""

PICTURES_PREFIX = "images/"
"""Of the keys that are announced to stage 0 (``upload_images/component.py``)."""
OUTCOMES_PREFIX = "readings/"
"""Of the keys under which stage 0 says what became of a picture (``outcome.py``)."""
