"""One receipt of a stack as a PNG: its published rows laid out, on the photo that was uploaded of it, if one was."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ops.drawing.photo import find_photo
from ops.drawing.picture import draw, png
from ops.drawing.sheet import Place, Sheet, lay_out
from ops.errors import OperatorError
from ops.searching import search
from ops.showing import ReceiptDetails
from ops.target import Target
from pipeline.files import replace_file


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A receipt that is laid out.

    Attributes:
        photo: of the whole image, upright; None when there is none that can be used.
        remark: why the photo is missing, when it is there and cannot be used.
    """

    sheet: Sheet
    photo: Image.Image | None
    remark: str | None

    def png(self) -> bytes:
        """The picture as a file."""
        return png(draw(self.sheet, self.photo), is_photo=self.photo is not None)


def drawing_of(target: Target, details: ReceiptDetails, hits: Collection[Place] = ()) -> Drawing:
    """Lay a receipt out, with its photo beneath.

    Args:
        target: the stack.
        details: of the receipt; its words are drawn instead of its lines when a word is marked.
        hits: what is marked.

    Raises:
        OperatorError: NOTHING_TO_DRAW when no version holds rows of it.
    """
    rows = (details["words"] or []) if any(hit.word_id for hit in hits) else details["lines"]
    if not rows:
        raise OperatorError(
            "NOTHING_TO_DRAW",
            f"no published version holds receipt {details['receipt_id']} of image {details['image_id']}",
            "`receipts show` says how far its runs are",
        )
    photo, remark = None, None
    try:
        photo = find_photo(target.s3, target.outputs["artifactsBucket"], details["image_id"])
    except OperatorError as error:
        remark = str(error)
    sheet = lay_out(rows, hits=hits, photo_size=None if photo is None else photo.size)
    return Drawing(sheet=sheet, photo=photo, remark=remark)


def best_place(target: Target, details: ReceiptDetails, text: str) -> Place:
    """The line of a receipt that is most like a text.

    Raises:
        OperatorError: NOTHING_TO_MARK when no line is like it, and what ``search`` raises.
    """
    matches = search(
        target, text, collection="lines", limit=1, image=details["image_id"], receipt=details["receipt_id"]
    ).matches
    if not matches:
        raise OperatorError(
            "NOTHING_TO_MARK",
            f"no line of receipt {details['receipt_id']} of image {details['image_id']} is like {text!r}",
            "`receipts show` without --picture prints its lines; or leave out --mark",
        )
    return place_of(matches[0])


def place_of(row: Mapping[str, Any]) -> Place:
    """Which row a match of a search is."""
    return Place(int(row["line_id"]), int(row.get("word_id", 0)))


def write_picture(content: bytes, file: Path) -> None:
    """Write a picture, as a whole or not at all.

    Raises:
        OperatorError: PICTURE_UNWRITABLE.
    """
    try:
        replace_file(file, content)
    except OSError as error:
        raise OperatorError(
            "PICTURE_UNWRITABLE",
            f"{file} cannot be written: {error.strerror}",
            "name a file in a folder that exists and that you may write to",
        ) from error
