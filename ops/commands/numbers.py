"""What is said of a number that a command does not take: the value, the rule and the way out.

Pydantic's own message names one bound, and for ``nan`` a bound that it does not break. Pydantic refuses;
this module only words the refusal.
"""

from dataclasses import dataclass
from typing import Any

SHOWN_CHARACTERS = 60
"""Of a value: more would hide the rule."""


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """A value that is not taken.

    Attributes:
        message: the value and the rule; Typer puts the option or argument before it.
        way_out: a value that is taken.
    """

    message: str
    way_out: str


def misfit(value: str, *, is_whole: bool, bounds: tuple[float, float], example: float) -> Misfit:
    """What is said of a number that is not taken; pure.

    Args:
        value: what was given, as it was typed.
        is_whole: only integers are taken.
        bounds: the least and the largest that is taken.
        example: one that is taken.
    """
    shown = value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}..."
    kind = "a whole number" if is_whole else "a number"
    least, largest = (f"{bound:,}" for bound in bounds)
    return Misfit(
        message=f"{shown!r}. Rule: {kind} from {least} to {largest}",
        way_out=f"give such a number, for example {example}",
    )


def misfit_of(error: Any) -> Misfit | None:
    """What is said of an error of usage that is about a number; None of any other.

    Args:
        error: as Typer raises it; Pydantic's is its cause.
    """
    parameter, refusals = getattr(error, "param", None), getattr(error.__cause__, "errors", None)
    if parameter is None or refusals is None or parameter.type_descriptor.annotation not in (int, float):
        return None
    (refusal, *_), described = refusals(), parameter.type_descriptor.parameter_info
    least = described.min
    return misfit(
        str(refusal["input"]),
        is_whole=parameter.type_descriptor.annotation is int,
        bounds=(least, described.max),
        example=parameter.default if isinstance(parameter.default, int | float) else least,
    )
