"""A receipt as a picture: where its texts are (``sheet``), the uploaded photo (``photo``), the PNG (``picture``)."""
