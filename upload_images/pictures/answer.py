"""What the child process says of a picture, one JSON object on its standard output. Pure."""

from typing import Self

from pydantic import BaseModel, ConfigDict

from pipeline.errors import ErrorCode, PermanentError


class Fault(BaseModel):
    """A refusal, in the parts that an error is made of."""

    model_config = ConfigDict(frozen=True)

    code: ErrorCode
    value: str
    rule: str
    way_out: str

    @classmethod
    def of(cls, error: PermanentError) -> Self:
        """The parts of an error."""
        return cls(code=error.code, value=error.value, rule=error.rule, way_out=error.way_out)

    def error(self) -> PermanentError:
        """The error of the parts."""
        return PermanentError(self.code, value=self.value, rule=self.rule, way_out=self.way_out)


class Answer(BaseModel):
    """What became of a picture.

    Attributes:
        documents: OCR results of the contract as JSON, one a page with text, in the order of the pages.
        dropped: how many of what was left out.
        remarks: what a person should know, a sentence each.
        fault: why nothing of it can be used; then there are no documents.
    """

    model_config = ConfigDict(frozen=True)

    documents: tuple[str, ...] = ()
    dropped: dict[str, int] = {}
    remarks: tuple[str, ...] = ()
    fault: Fault | None = None
