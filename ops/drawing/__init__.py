"""A receipt as a picture: where its texts stand (``sheet``), the uploaded photo (``photo``), the PNG (``picture``)."""
