"""A sheet as a PNG: on the uploaded photo, or on plain paper with the texts in their boxes.

Fonts: Pillow's own scalable one, which has the letters of ASCII; for other letters one that is installed on this
machine, if any is. Where none has a letter, it is drawn without its accents, and failing that as an empty box.
"""

import io
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ops.drawing.sheet import Mark, Sheet

PAPER, INK, FAINT = (253, 252, 248), (34, 34, 40), (226, 224, 216)
HIT_FILL, HIT_EDGE = (255, 214, 64, 110), (196, 78, 0, 255)
DOUBTFUL_FILL, DOUBTFUL_EDGE = (140, 92, 200, 52), (124, 77, 184, 150)
COLOURS = 64
"""Of a drawing without a photo: ink, paper, two marks, and the shades at the edges of letters."""
EDGE = 2
"""Pixels a marked box is drawn larger on each side, so that its edge does not run through the letters."""
INSTALLED = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msgothic.ttc")
"""Fonts with many letters, by the file names that Pillow looks for where the system keeps its fonts."""
NO_CHARACTER = "\ufffe"
"""Unicode says that this is none, so every font draws it as it draws what it lacks."""


@dataclass(frozen=True, kw_only=True)
class Typeface:
    """One font: a file's name, or None for Pillow's own."""

    file: str | None

    def at(self, size: float) -> ImageFont.FreeTypeFont:
        """The font in a size, in pixels."""
        if self.file is not None:
            return ImageFont.truetype(self.file, size)
        font = ImageFont.load_default(size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise TypeError("Pillow was built without FreeType, and has no scalable font then")
        return font

    @cached_property
    def _lacking(self) -> bytes:
        return self._drawn(NO_CHARACTER)

    def _drawn(self, character: str) -> bytes:
        mask: Any = self.at(20).getmask(character)
        return bytes(mask)

    def has(self, character: str) -> bool:
        """Whether it has a letter."""
        return character.isspace() or self._drawn(character) != self._lacking


class Typefaces:
    """Chooses the font of a text: the first that has all its letters.

    Args:
        files: names of fonts beside Pillow's own; those that are not installed are left out.
    """

    def __init__(self, files: tuple[str, ...] = INSTALLED) -> None:
        own = Typeface(file=None)
        self._faces = [own, *(face for face in (Typeface(file=name) for name in files) if _is_there(face))]
        self._known: dict[tuple[int, str], bool] = {}

    def choose(self, text: str) -> tuple[Typeface, str]:
        """A font, and the text as that font can write it."""
        for face in range(len(self._faces)):
            if all(self._has(face, character) for character in text):
                return self._faces[face], text
        plain = "".join(part for part in unicodedata.normalize("NFKD", text) if not unicodedata.combining(part))
        counts = [sum(self._has(face, character) for character in plain) for face in range(len(self._faces))]
        return self._faces[counts.index(max(counts))], plain

    def _has(self, face: int, character: str) -> bool:
        if (face, character) not in self._known:
            self._known[face, character] = self._faces[face].has(character)
        return self._known[face, character]


def _is_there(face: Typeface) -> bool:
    try:
        face.at(20)
    except OSError:
        return False
    return True


def draw(sheet: Sheet, photo: Image.Image | None = None, typefaces: Typefaces | None = None) -> Image.Image:
    """Draw a sheet.

    Args:
        sheet: laid out, with the photo's size when there is one.
        photo: of the whole image, upright; None draws the texts.
        typefaces: None for Pillow's own font and the usual ones of this machine.
    """
    faces = typefaces or Typefaces()
    image = Image.new("RGB", (sheet.width, sheet.height), PAPER)
    if photo is not None and sheet.region_height:
        image.paste(shown_part(sheet, photo), (0, 0))
    shades = Image.new("RGBA", image.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(shades)
    for mark in sorted(sheet.marks, key=lambda mark: mark.is_hit):
        if mark.is_hit:
            pen.rectangle(_edges(mark), fill=HIT_FILL, outline=HIT_EDGE, width=EDGE + 1)
        elif mark.is_doubtful:
            pen.rectangle(_edges(mark), fill=DOUBTFUL_FILL, outline=DOUBTFUL_EDGE)
        elif photo is None and mark.top < sheet.region_height:
            pen.rectangle(_edges(mark), outline=(*FAINT, 255))
    image.paste(shades, (0, 0), shades)
    for mark in sheet.marks:
        if photo is None or mark.top >= sheet.region_height:
            _write(ImageDraw.Draw(image), mark, faces)
    return image


def shown_part(sheet: Sheet, photo: Image.Image) -> Image.Image:
    """The part of a photo that a sheet shows, in the sheet's size."""
    region = sheet.region
    corners = (
        region.left * photo.width,
        region.top * photo.height,
        (region.left + region.width) * photo.width,
        (region.top + region.height) * photo.height,
    )
    return photo.resize((sheet.width, sheet.region_height), Image.Resampling.LANCZOS, box=corners)


def png(image: Image.Image, *, is_photo: bool) -> bytes:
    """An image as a PNG file, without a photo's own notes (place, camera).

    Args:
        image: what ``draw`` returned.
        is_photo: false for ink on paper, for which a palette is enough: half the bytes, in a third of the time.
    """
    file = io.BytesIO()
    reduced = image if is_photo else image.quantize(COLOURS, dither=Image.Dither.NONE)
    reduced.save(file, "PNG")
    return file.getvalue()


def jpeg(image: Image.Image) -> bytes:
    """A photo as a JPEG file, without its own notes."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()


def _edges(mark: Mark) -> tuple[float, float, float, float]:
    return (mark.left - EDGE, mark.top - EDGE, mark.left + mark.width + EDGE, mark.top + mark.height + EDGE)


def _write(pen: ImageDraw.ImageDraw, mark: Mark, faces: Typefaces) -> None:
    face, text = faces.choose(mark.text.replace("\n", " "))
    font = face.at(mark.font_size)
    length = font.getlength(text)
    if length > mark.width > 0:
        font = face.at(max(1.0, mark.font_size * mark.width / length))
    pen.text((mark.left, mark.top + mark.height / 2), text, font=font, fill=INK, anchor="lm")
