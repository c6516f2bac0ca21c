"""What an operator's words name in a published version: an image by a prefix of its id, a merchant by any spelling.

Commands that take an image or a merchant ask here, so that they all accept the same.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable

from ops.published import NOTHING_PUBLISHED, published_version
from ops.target import OperatorError, Target
from pipeline.collections.published import PublishedCollection

LEAST_DIGITS = 4
"""Hex digits of an image id that are accepted; one or two would soon name another image."""
SHOWN_DIGITS = 8
"""Hex digits of an image id that are shown, at least."""
WHOLE_DIGITS = 32
SUGGESTED = 3
"""Merchants that are suggested at most."""
IMAGES_LISTED = 5
SHOW_IDS = "`receipts search` shows the ids"


def image_beginning(text: str) -> str:
    """The beginning of an image id as ids are written: lower case, with hyphens.

    Raises:
        OperatorError: IMAGE_INVALID.
    """
    digits = text.strip().lower().replace("-", "")
    if not re.fullmatch(rf"[0-9a-f]{{{LEAST_DIGITS},{WHOLE_DIGITS}}}", digits):
        raise OperatorError(
            "IMAGE_INVALID",
            f"{text!r} is not an image id",
            f"give the whole id, or at least its first {LEAST_DIGITS} hex digits; {SHOW_IDS}",
        )
    groups = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join(group for group in groups if group)


def whole_image(target: Target, text: str) -> str:
    """The image id that ``text`` is the beginning of, among the images of the published lines.

    A whole id is taken as it is, published or not, and nothing is read for it.

    Raises:
        OperatorError: IMAGE_INVALID, IMAGE_UNKNOWN, AMBIGUOUS_IMAGE.
    """
    beginning = image_beginning(text)
    if len(beginning.replace("-", "")) == WHOLE_DIGITS:
        return beginning
    try:
        with published_version(target, "lines") as published:
            images = require_images(published, beginning)
    except OperatorError as error:
        if error.code != NOTHING_PUBLISHED:
            raise
        raise OperatorError(
            "IMAGE_UNKNOWN",
            f"nothing is published, so {beginning} cannot be completed to an image id",
            "give the whole id",
        ) from error
    if len(images) > 1:
        listed = ", ".join(images[:IMAGES_LISTED]) + (", ..." if len(images) > IMAGES_LISTED else "")
        raise OperatorError(
            "AMBIGUOUS_IMAGE",
            f"{len(images)} image ids begin with {beginning}: {listed}",
            "give more digits of the id",
        )
    return images[0]


def require_images(published: PublishedCollection, beginning: str) -> list[str]:
    """The images of a version whose ids begin so, in the order of their ids; at least one.

    Raises:
        OperatorError: IMAGE_UNKNOWN.
    """
    images = list(dict.fromkeys(key.image_id for key in published.receipts(beginning)))
    if not images:
        raise OperatorError(
            "IMAGE_UNKNOWN",
            f"no image id in version {published.version} begins with {beginning}",
            f"{SHOW_IDS}; an image that is not published yet, or was removed, is named by its whole id",
        )
    return images


def shown_images(published: PublishedCollection, images: Iterable[str]) -> dict[str, str]:
    """For each image the beginning of its id that no other image of the version shares, 8 hex digits at least."""
    shown = {}
    for image in images:
        near = {key.image_id for key in published.receipts(image[:SHOWN_DIGITS])} - {image}
        shared = max((_shared(image, other) for other in near), default=0)
        length = max(SHOWN_DIGITS, shared + 1)
        # Almost a whole id is no shorter to type, and reads like a wrong one.
        shown[image] = image[:length] if length <= len(image) // 2 else image
    return shown


def _shared(one: str, other: str) -> int:
    """How many characters two ids begin with alike."""
    return next((number for number, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))


def fold_merchant(name: str) -> str:
    """What the spellings of one merchant have in common: letters, marks and digits, without regard to case."""
    # Folding can leave the compatibility form, and that form can need folding, so the form comes first and last.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    letters = "".join(character for character in folded if unicodedata.category(character)[0] in "LMN")
    return letters or folded.strip()


def merchant_spellings(published: PublishedCollection, name: str) -> tuple[str, ...]:
    """Every spelling under which a merchant's receipts are published.

    Raises:
        OperatorError: MERCHANT_EMPTY, MERCHANT_UNKNOWN.
    """
    wanted = fold_merchant(name)
    if not wanted:
        raise OperatorError("MERCHANT_EMPTY", "the merchant's name is empty", "give the name as the receipt prints it")
    spellings: dict[str, list[str]] = {}
    for merchant in published.merchants():
        spellings.setdefault(fold_merchant(merchant.name), []).append(merchant.name)
    if wanted in spellings:
        return tuple(spellings[wanted])
    containing = sorted((known for known in spellings if wanted in known), key=len)
    near = difflib.get_close_matches(wanted, spellings, n=SUGGESTED)
    suggested = [spellings[known][0] for known in dict.fromkeys((*containing, *near))][:SUGGESTED]
    message = f"no such merchant {name!r} in version {published.version}"
    if suggested:
        message += f", did you mean {' or '.join(map(repr, suggested))}"
        way_out = "give a name in full; case, blanks and punctuation do not matter"
    elif spellings:
        way_out = "search without --merchant: the table names the merchant of each match"
    else:
        way_out = "search without --merchant: no receipt of this version has one"
    raise OperatorError("MERCHANT_UNKNOWN", message, way_out)
