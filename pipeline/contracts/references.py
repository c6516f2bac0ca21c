"""How a CompactionRun is named, in messages and in the table. Pure.

By itself, because what only reads runs needs no message, and building their models takes longer than a request.
"""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class RunReference(BaseModel):
    """The key of one CompactionRun item."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image_id: UUID
    receipt_id: Annotated[int, Field(ge=1)]
    run_id: RunId
