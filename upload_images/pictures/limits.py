"""How large a picture may be and how long it may take, each from the narrowest thing behind it; and the refusals. Pure.

The memory of stage 0's function decides most of them: docs/facts.md, "Reading a picture", has what was measured.
"""

from pipeline.errors import ErrorCode, PermanentError

MAXIMUM_PICTURE_BYTES = 20 * 1024 * 1024
"""Of one file, which is in memory twice, in the function and in the child. Phones' JPEGs have 2 to 15 MB."""
MAXIMUM_PIXELS = 64_000_000
"""Of one page, unpacked: 192 MB in colour. Phones' largest pictures have 50 million."""
MAXIMUM_PAGES = 20
"""Of one file: at about a second a page they are read well within ``READING_SECONDS``."""
MINIMUM_SIDE = 16
"""Pixels. No line of text is lower; on a page of 1 x 1 the engine can be asked, but there is nothing to read."""
CERTAIN = 0.6
"""A word's confidence from which it counts as read."""
READING_SECONDS = 100.0
"""For one file; then the child is killed. It is below the function's timeout (``component.py``)."""
CHILD_MEMORY_BYTES = 1_500 * 1024 * 1024
"""Address space of the child; beyond it the allocation fails there, instead of the function being killed as a whole."""


def unreadable(
    value: str,
    rule: str = "a picture is JPEG, PNG, TIFF, PDF or, where pillow-heif is installed, HEIC, and whole",
    way_out: str = "look whether it opens elsewhere; save it as JPEG or PNG and upload that",
) -> PermanentError:
    """PICTURE_UNREADABLE: the file cannot be opened as a picture."""
    return PermanentError(ErrorCode.PICTURE_UNREADABLE, value=value, rule=rule, way_out=way_out)


def too_large(value: str, rule: str, way_out: str) -> PermanentError:
    """PICTURE_TOO_LARGE: the picture is beyond a limit."""
    return PermanentError(ErrorCode.PICTURE_TOO_LARGE, value=value, rule=rule, way_out=way_out)


def without_text(value: str) -> PermanentError:
    """PICTURE_WITHOUT_TEXT: the picture was read and there is no text in it."""
    return PermanentError(
        ErrorCode.PICTURE_WITHOUT_TEXT,
        value=value,
        rule="a picture of a receipt has at least one line that can be read",
        way_out="look whether the picture is blank, blurred, too dark or of something else",
    )


def require_bytes(size: int, source: str) -> None:
    """Refuse a file that is too large to be read.

    Args:
        size: in bytes.
        source: where it is from, for the error.

    Raises:
        PermanentError: PICTURE_TOO_LARGE.
    """
    if size > MAXIMUM_PICTURE_BYTES:
        raise too_large(
            f"{source[-200:]} has {size} bytes",
            f"a picture has at most {MAXIMUM_PICTURE_BYTES} bytes",
            "save it as JPEG or with fewer pages; 1,000 pixels across a receipt are enough",
        )


def require_pixels(width: int, height: int, page: int) -> None:
    """Refuse a page before it is unpacked.

    Args:
        width: pixels, as the file says.
        height: the same.
        page: its number from 1, for the error.

    Raises:
        PermanentError: PICTURE_TOO_LARGE; PICTURE_UNREADABLE for one that is no page at all.
    """
    if width * height > MAXIMUM_PIXELS:
        raise too_large(
            f"page {page} has {width} x {height} pixels",
            f"a page has at most {MAXIMUM_PIXELS} pixels, unpacked",
            "scale the picture down; 1,000 pixels across a receipt are enough",
        )
    if min(width, height) < MINIMUM_SIDE:
        raise without_text(f"page {page} has {width} x {height} pixels, too few for a letter")


def require_pages(count: int) -> None:
    """Refuse a file of too many pages.

    Raises:
        PermanentError: PICTURE_TOO_LARGE.
    """
    if count > MAXIMUM_PAGES:
        raise too_large(
            f"it has {count} pages", f"a file has at most {MAXIMUM_PAGES} pages", "upload it in several files"
        )
