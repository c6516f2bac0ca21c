"""Draws a receipt's texts as a picture that could be a scan: for ``receipts demo``, tests and benchmarks.

The letters are those of the font that Pillow brings along, so no other font or picture is needed. Stage 0 has to
read what it draws. It is not how a stored receipt is shown.
"""

from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN = 900, 60
LETTER_HEIGHT, LINE_HEIGHT = 30, 48
BLANK = 16
"""Pixels of a blank between two words; the font's own is so narrow that the engine reads both as one word."""
INK, PAPER = 40, 250


def render(texts: Sequence[str], *, width: int = WIDTH) -> Image.Image:
    """Draw lines of text below each other. Where a text has several blanks, what follows them is at the right edge.

    Args:
        texts: a line each, in letters that the font has: of Latin script.
        width: of the picture in pixels.

    Returns:
        A picture in shades of grey.
    """
    font = ImageFont.load_default(LETTER_HEIGHT)
    picture = Image.new("L", (width, 2 * MARGIN + LINE_HEIGHT * len(texts)), PAPER)
    draw = ImageDraw.Draw(picture)

    def length(words: Sequence[str]) -> float:
        return sum(draw.textlength(word, font=font) for word in words) + BLANK * (len(words) - 1)

    def put(words: Sequence[str], x: float, y: float) -> None:
        for word in words:
            draw.text((x, y), word, font=font, fill=INK)
            x += draw.textlength(word, font=font) + BLANK

    for number, text in enumerate(texts):
        y = MARGIN + number * LINE_HEIGHT
        left, _, right = text.partition("  ")
        put(left.split(), MARGIN, y)
        if right.strip():
            put(right.split(), width - MARGIN - length(right.split()), y)
    return picture


def encode(picture: Image.Image, kind: str = "PNG") -> bytes:
    """A picture's file.

    Args:
        picture: what to write.
        kind: PNG, JPEG, TIFF or PDF, as Pillow names it.
    """
    file = BytesIO()
    picture.save(file, format=kind)
    return file.getvalue()
