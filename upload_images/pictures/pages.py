"""Opens a picture and gives its pages in shades of grey, as a viewer shows them. Here foreign bytes meet the decoders.

It runs only in the child process (``child.py``). Every limit is checked on what the file says of itself, before a pixel
is unpacked. Orientation beyond EXIF's, scale and tilt are not looked at: ``upright.py``.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import PermanentError
from upload_images.pictures.kinds import PictureKind, kind_of
from upload_images.pictures.limits import (
    MAXIMUM_PIXELS,
    require_bytes,
    require_pages,
    require_pixels,
    too_large,
    unreadable,
)

PDF_POINTS_AN_INCH = 72
PDF_RESOLUTION = 200
"""Dots an inch at which a PDF's page is drawn: a receipt of 80 mm is 630 dots wide, as a scanner would give it."""
PDF_LONGEST_SIDE = 8_000
"""Pixels; a larger page is drawn at a lower resolution."""
DECODER_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error, IndexError, KeyError, TypeError)
"""What Pillow's decoders raise on a file that is cut or wrong: each plugin has its own."""


def open_pages(content: bytes) -> Iterator[Image.Image]:
    """The pages of a picture, one at a time, in mode L.

    Raises:
        PermanentError: PICTURE_UNREADABLE, PICTURE_TOO_LARGE, PICTURE_WITHOUT_TEXT.
    """
    require_bytes(len(content), "the picture")
    kind = kind_of(content)
    if kind is None:
        raise unreadable("it begins like no kind of picture" if content else "it is empty")
    if kind is PictureKind.PDF:
        yield from _pages_of_pdf(content)
        return
    if kind is PictureKind.HEIC:
        _register_heic()
    try:
        with warnings.catch_warnings():
            # Pillow's own limit of pixels is another; its doubts about metadata do not matter here.
            warnings.simplefilter("ignore")
            yield from _pages_of_image(content, kind)
    except PermanentError:
        raise
    except UnidentifiedImageError as error:
        raise unreadable(f"it begins like {kind} and is none") from error
    except Image.DecompressionBombError as error:
        raise too_large(
            f"a page has too many pixels: {str(error).rstrip('.')}",
            f"a page has at most {MAXIMUM_PIXELS} pixels, unpacked",
            "scale the picture down; 1,000 pixels across a receipt are enough",
        ) from error
    except DECODER_ERRORS as error:
        raise unreadable(f"the {kind} picture cannot be unpacked: {type(error).__name__}: {error}"[:300]) from error


def _pages_of_image(content: bytes, kind: PictureKind) -> Iterator[Image.Image]:
    # Only the decoder of this kind: a file must not choose among the forty that Pillow has.
    formats = ["JPEG", "MPO"] if kind is PictureKind.JPEG else ["HEIF" if kind is PictureKind.HEIC else kind.name]
    with Image.open(BytesIO(content), formats=formats) as picture:
        # Phones put a depth map or a small preview behind the photo: only the pages of a TIFF are pages.
        count = getattr(picture, "n_frames", 1) if kind is PictureKind.TIFF else 1
        require_pages(count)
        for number in range(1, count + 1):
            if number > 1:
                picture.seek(number - 1)
            require_pixels(picture.width, picture.height, number)
            yield _grey(ImageOps.exif_transpose(picture))


def _grey(picture: Image.Image) -> Image.Image:
    """Shades of grey; what is transparent is paper."""
    if picture.mode in {"I", "F"} or picture.mode.startswith("I;16"):
        # Deeper than 8 bits: Pillow would cut such values off at 255 instead of scaling them.
        values = np.asarray(picture, dtype=np.float32)
        values -= values.min()
        return Image.fromarray((values * (255 / max(float(values.max()), 1.0))).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        colour = picture.convert("RGBA")
        paper = Image.new("RGBA", colour.size, "white")
        paper.alpha_composite(colour)
        return paper.convert("L")
    return picture.convert("L")


def _register_heic() -> None:
    try:
        import pillow_heif  # noqa: PLC0415 - an extra; what other pictures need is installed always
    except ImportError as error:
        raise unreadable(
            "it is a HEIC picture and pillow-heif is not installed",
            "HEIC is read where the extra `heic` is installed",
            "save it as JPEG and upload that, or install the extra",
        ) from error
    pillow_heif.register_heif_opener()


def _pages_of_pdf(content: bytes) -> Iterator[Image.Image]:
    import pypdfium2  # noqa: PLC0415 - loads a library of 7 MB that only PDFs need

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        reason = str(error)
        if "password" in reason.lower():
            raise unreadable(
                "the PDF is encrypted", "a PDF opens without a password", "save it without one and upload that"
            ) from error
        raise unreadable(f"the PDF cannot be opened: {reason}") from error
    with closing(document):
        require_pages(len(document))
        if not len(document):
            raise unreadable("the PDF has no pages")
        for number in range(len(document)):
            try:
                page = document[number]
            except pypdfium2.PdfiumError as error:
                raise unreadable(f"page {number + 1} of the PDF cannot be opened: {error}") from error
            with closing(page):
                longest = max(page.get_size()) / PDF_POINTS_AN_INCH
                resolution = min(PDF_RESOLUTION, PDF_LONGEST_SIDE / max(longest, 0.01))
                with closing(page.render(scale=resolution / PDF_POINTS_AN_INCH, grayscale=True)) as drawn:
                    picture = drawn.to_pil().convert("L").copy()
            require_pixels(picture.width, picture.height, number + 1)
            yield picture
