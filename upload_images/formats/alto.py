"""ALTO, versions 2 to 4: the XML of libraries and archives, which Tesseract writes too (loc.gov/standards/alto).

Only the relation of boxes to the page's size is needed, so the unit of measurement does not matter.
"""

from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from upload_images.formats.plain import finite
from upload_images.formats.recognized import (
    Box,
    Reading,
    RecognizedLine,
    RecognizedReceipt,
    RecognizedWord,
    refusal,
)

RULE = "ALTO is XML with Page, TextLine and String"


def read_alto(content: bytes) -> Reading:
    """Read an ALTO file.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID.
    """
    try:
        root = fromstring(content)
    except ParseError as error:
        raise refusal(f"it is not XML: {error}", RULE, "look whether the file was cut, and make it again") from error
    except DefusedXmlException as error:
        raise refusal(f"it declares entities: {type(error).__name__}", "an OCR result declares no entities") from error
    pages = [element for element in root.iter() if _name(element) == "Page"]
    if not pages:
        raise refusal("it has no Page", RULE)
    return Reading(
        receipts=tuple(
            RecognizedReceipt(
                page=number,
                lines=tuple(_line(element) for element in page.iter() if _name(element) == "TextLine"),
                size=_size(page),
            )
            for number, page in enumerate(pages, 1)
        )
    )


def _name(element: Element) -> str:
    """Without the namespace, which differs from version to version."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _size(page: Element) -> tuple[float, float] | None:
    for element in (page, *(item for item in page if _name(item) == "PrintSpace")):
        width, height = _number(element, "WIDTH"), _number(element, "HEIGHT")
        if width and height and width > 0 and height > 0:
            return width, height
    return None


def _line(line: Element) -> RecognizedLine:
    return RecognizedLine(
        words=tuple(
            RecognizedWord(text=item.get("CONTENT") or "", box=_box(item), confidence=_number(item, "WC"))
            for item in line
            if _name(item) == "String"
        ),
        box=_box(line),
    )


def _box(element: Element) -> Box | None:
    left, top = _number(element, "HPOS"), _number(element, "VPOS")
    width, height = _number(element, "WIDTH"), _number(element, "HEIGHT")
    if left is None or top is None or width is None or height is None:
        return None
    return Box.of_size(left, top, width, height)


def _number(element: Element, name: str) -> float | None:
    value = element.get(name)
    if value is None:
        return None
    try:
        return finite(value)
    except ValueError as error:
        raise refusal(f'{_name(element)} has {name}="{value}"', f"{name} is a number") from error
