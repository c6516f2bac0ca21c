"""The base of every entry point's environment model: one class an entry point, read once when it starts.

Infrastructure fills the same model (``stack/functions.py``), so a variable that is read is a variable that is set.
It is not a place for defaults: a missing or an empty variable is an error, never an empty string.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import ErrorCode, PermanentError


class Environment(BaseModel):
    """Subclass with one annotated field a variable; field ``embed_queue_url`` is variable ``EMBED_QUEUE_URL``."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=1, protected_namespaces=())

    @classmethod
    def variable_names(cls) -> dict[str, str]:
        """Field name to environment variable name, in declaration order."""
        return {field: field.upper() for field in cls.model_fields}

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self:
        """Read the model from ``os.environ`` or any mapping like it; other variables are left alone.

        Raises:
            PermanentError: ENVIRONMENT_INVALID, naming every variable that is missing, empty or of the wrong type.
        """
        present = {field: variables[name] for field, name in cls.variable_names().items() if name in variables}
        try:
            return cls.model_validate(present)
        except ValidationError as error:
            faults = "; ".join(f"{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
            raise PermanentError(
                ErrorCode.ENVIRONMENT_INVALID,
                value=faults,
                rule=f"every variable of {cls.__name__} is set, is not empty and has its type",
                way_out="deploy the stack again; by hand, set the named variables",
            ) from error
