"""The picture that was uploaded of an image, if one was: found by its key, bounded before it is unpacked, upright.

It never changes the bucket. A picture that cannot be used is reported; the receipt is then drawn without it.
"""

import io
import struct
import warnings
from typing import Any

from PIL import Image, ImageOps

from ops.errors import OperatorError
from upload_images.pictures import PICTURES_PREFIX
from upload_images.pictures.limits import MAXIMUM_PICTURE_BYTES, MAXIMUM_PIXELS

FORMATS = ("JPEG", "PNG", "TIFF")
"""By Pillow's names. Phones' JPEGs with a preview behind them, MPO, are opened as JPEG."""
TOO_MANY = f"and {MAXIMUM_PIXELS} are read"
DECODER_ERRORS = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, struct.error)
"""What Pillow's decoders raise for files that are cut or forged; each has its own."""
LONGEST_SIDE = 2_000
"""Pixels that are kept: a sheet is 720 wide."""


def find_photo(s3_client: Any, bucket: str, image_id: str) -> Image.Image | None:
    """The picture of an image, upright, in colours of 8 bits; None when none was uploaded.

    Args:
        s3_client: a boto3 client.
        bucket: of the artifacts.
        image_id: whole.

    Raises:
        OperatorError: PICTURE_UNUSABLE.
    """
    found = s3_client.list_objects_v2(Bucket=bucket, Prefix=f"{PICTURES_PREFIX}{image_id}.", MaxKeys=1).get(
        "Contents", []
    )
    if not found:
        return None
    key, size = found[0]["Key"], found[0]["Size"]
    if size > MAXIMUM_PICTURE_BYTES:
        raise _unusable(key, f"it has {size} bytes, and {MAXIMUM_PICTURE_BYTES} are read")
    return unpacked(s3_client.get_object(Bucket=bucket, Key=key)["Body"].read(), key)


def unpacked(content: bytes, key: str) -> Image.Image:
    """A picture file as pixels.

    Args:
        content: the file.
        key: for the error.

    Raises:
        OperatorError: PICTURE_UNUSABLE.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of many pixels, whose bound is the one here, and of metadata, which do not matter here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > MAXIMUM_PIXELS:
                    raise _unusable(key, f"it has {image.width} x {image.height} pixels, {TOO_MANY}")
                image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
                upright = _on_paper(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise _unusable(key, f"it has hundreds of millions of pixels, {TOO_MANY}") from error
    except DECODER_ERRORS as error:
        raise _unusable(key, f"it is no picture that can be read ({type(error).__name__})") from error
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return upright


def _on_paper(image: Image.Image) -> Image.Image:
    """In colours; what is transparent is white paper."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image.convert("RGBA"))
    return paper.convert("RGB")


def _unusable(key: str, why: str) -> OperatorError:
    return OperatorError(
        "PICTURE_UNUSABLE",
        f"the picture {key} cannot be shown: {why}",
        "upload it again as JPEG, PNG or TIFF; without it the receipt is drawn from boxes and texts",
    )
