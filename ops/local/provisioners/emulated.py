"""What the provisioners that make a resource on the emulator share. It makes none itself."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from ops.local.provisioners import InPlace, Inputs
from ops.local.provisioners.context import Context

REVISION = "sourceRevision"
"""The property that holds the digest of the runtime code; another one means another process."""


class Emulated(InPlace):
    """A resource type of the emulator, changed in place."""

    def __init__(self, context: Context) -> None:
        self._context = context


def is_gone(error: ClientError) -> bool:
    """Whether an error says that there is no such resource."""
    code = error.response["Error"]["Code"]
    return any(word in code for word in ("NotFound", "NoSuch", "NonExistent", "404"))


def found_by(look: Callable[[], Inputs]) -> Inputs | None:
    """What ``look`` finds; None when what it looks at is gone."""
    try:
        return look()
    except ClientError as error:
        if is_gone(error):
            return None
        raise


def same_document(known: Any, found: str) -> Any:
    """A policy as it is known while it says the same, else as it was found."""
    return known if json.loads(document(known)) == json.loads(found or "null") else found


def document(policy: Any) -> str:
    """A policy as text."""
    return policy if isinstance(policy, str) else json.dumps(policy)
