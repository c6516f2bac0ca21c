"""Physical names and tags. A name that is too long is refused, never cut: two cut names can meet."""

import pulumi

from stack.errors import RefusalCode, StackRefusal

FUNCTION_NAME_LIMIT = 64
"""AWS Lambda API reference, CreateFunction; IAM role names have the same limit (IAM quotas)."""
QUEUE_NAME_LIMIT = 80
"""Amazon SQS API reference, CreateQueue; with the suffix ``.fifo``."""
BUCKET_PREFIX_LIMIT = 37
"""Of 63 (Amazon S3 user guide, bucketnamingrules) the provider keeps 26 for its suffix."""


def physical_name(part: str, *, limit: int = FUNCTION_NAME_LIMIT, suffix: str = "") -> str:
    """``<project>-<stack>-<part><suffix>``.

    Raises:
        StackRefusal: NAME_TOO_LONG.
    """
    name = f"{pulumi.get_project()}-{pulumi.get_stack()}-{part}{suffix}"
    if len(name) > limit:
        raise StackRefusal(
            RefusalCode.NAME_TOO_LONG,
            value=f"{name!r} has {len(name)} characters",
            rule=f"at most {limit}",
            way_out="give the stack a shorter name",
        )
    return name


def tags() -> dict[str, str]:
    """The tags of everything that can have tags."""
    return {"Project": pulumi.get_project(), "Stack": pulumi.get_stack()}
