"""Text and JSON of foreign files, read strictly: what is no UTF-8, no JSON or of another shape is refused by name."""

import json
import re
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from upload_images.formats.recognized import refusal

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
MAXIMUM_FAULTS_SHOWN = 3

Model = TypeVar("Model", bound=BaseModel)


class Foreign(BaseModel):
    """A part of somebody else's document, of which only what is named here is looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


def decode(content: bytes) -> str:
    """UTF-8 with or without a byte order mark.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refusal(
            f"it is not UTF-8: {error.reason} at byte {error.start}", "an OCR result is UTF-8 text"
        ) from error


def finite(text: str) -> float:
    """A number.

    Raises:
        ValueError: it is none, or not finite.
    """
    if not isfinite(number := float(text)):
        raise ValueError(f"{text} is not finite")
    return number


def read_json(content: bytes) -> Any:
    """JSON with its keys in snake case: clients write ``BlockType``, ``blockType`` or ``block_type``.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID.
    """
    try:
        return _snake_case(json.loads(decode(content)))
    except RecursionError as error:
        raise refusal("it is nested too deep", "an OCR result has a few levels") from error
    except ValueError as error:
        raise refusal(f"it is not JSON: {str(error).splitlines()[0]}", "this format is JSON") from error


def require(model: type[Model], value: Any, name: str) -> Model:
    """Read a part by its model.

    Args:
        model: what it must be.
        value: a decoded JSON value.
        name: of the format, for the error.

    Raises:
        PermanentError: OCR_DOCUMENT_INVALID, naming the first faults.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        more = f"; and {len(faults) - MAXIMUM_FAULTS_SHOWN} more" * (len(faults) > MAXIMUM_FAULTS_SHOWN)
        raise refusal("; ".join(faults[:MAXIMUM_FAULTS_SHOWN]) + more, f"it has the form of {name}") from error


def _snake_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {_WORD_START.sub("_", key).lower(): _snake_case(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_snake_case(item) for item in value]
    return value
