"""What kind of picture a file is, by its first bytes, and what a picture is called in the bucket. Pure and light.

Nothing is opened here: ``pages.py`` finds out whether the rest of the file is what its beginning says.
"""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from pipeline.contracts.identifiers import sha256_hex
from upload_images.formats.conversion import image_id
from upload_images.pictures import OUTCOMES_PREFIX, PICTURES_PREFIX


class PictureKind(StrEnum):
    """The kinds that are read, by the ends of their names in the bucket."""

    JPEG = "jpg"
    PNG = "png"
    TIFF = "tiff"
    PDF = "pdf"
    HEIC = "heic"


CONTENT_TYPES: Mapping[PictureKind, str] = {
    PictureKind.JPEG: "image/jpeg",
    PictureKind.PNG: "image/png",
    PictureKind.TIFF: "image/tiff",
    PictureKind.PDF: "application/pdf",
    PictureKind.HEIC: "image/heic",
}
_BEGINNINGS: Mapping[bytes, PictureKind] = {
    b"\xff\xd8\xff": PictureKind.JPEG,
    b"\x89PNG\r\n\x1a\n": PictureKind.PNG,
    b"II*\x00": PictureKind.TIFF,
    b"MM\x00*": PictureKind.TIFF,
    b"%PDF-": PictureKind.PDF,
}
KIND_BYTES = 16
"""Bytes at the beginning of a file that show its kind."""
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1"})
"""Major brands of still HEIF pictures coded with HEVC (ISO/IEC 23008-12); ``mif1`` is what some cameras write."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".pdf", ".heic", ".heif")
"""How the names of pictures end, where a folder is looked through."""


def kind_of(content: bytes) -> PictureKind | None:
    """The kind of a file that begins like a picture; None for any other. A name says nothing reliable.

    Args:
        content: the file, or its first ``KIND_BYTES``.
    """
    for beginning, kind in _BEGINNINGS.items():
        if content.startswith(beginning):
            return kind
    # An ISO media file begins with the length of its first box, that box's name and the brand.
    return PictureKind.HEIC if content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS else None


def first_image_id(content: bytes) -> UUID:
    """The image id of the picture, which is that of its first page.

    It is made of the content, as for the files of other tools: the same picture is the same image under any name, so it
    is searchable once, however often it arrives.
    """
    return image_id(sha256_hex(content), 1)


def picture_key(identifier: UUID, kind: PictureKind) -> str:
    """Where ``receipts upload`` puts a picture. Other programs may choose any name under ``images/``."""
    return f"{PICTURES_PREFIX}{identifier}.{kind}"


def outcome_key(identifier: UUID) -> str:
    """Where stage 0 says what became of the picture with this image id."""
    return f"{OUTCOMES_PREFIX}{identifier}.json"
