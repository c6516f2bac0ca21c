"""Physical names and tags. A name that is too long is refused, never cut: two cut names can meet."""

import re

import pulumi

from stack.errors import RefusalCode, StackRefusal

FUNCTION_NAME_LIMIT = 64
"""AWS Lambda API reference, CreateFunction; IAM role names have the same limit (IAM quotas)."""
QUEUE_NAME_LIMIT = 80
"""Amazon SQS API reference, CreateQueue; with the suffix ``.fifo``."""
ALARM_NAME_LIMIT = 255
"""Amazon CloudWatch API reference, PutMetricAlarm."""
BUCKET_PREFIX_LIMIT = 37
"""Of 63 (Amazon S3 user guide, bucketnamingrules) the provider keeps 26 for its suffix."""


LONGEST_BUCKET_PART = "artifacts"
NAME = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*")
"""What S3 (bucketnamingrules), SQS (no dots) and ECR (no capitals; CreateRepository) all take."""


def check_stack_name(project: str, stack: str) -> None:
    """Refuse names from which a physical name could not be made, before anything is.

    Buckets have the shortest names of all, so every name fits when theirs do.

    Raises:
        StackRefusal: NAME_INVALID or NAME_TOO_LONG.
    """
    for kind, name in (("project", project), ("stack", stack)):
        if not NAME.fullmatch(name):
            raise StackRefusal(
                RefusalCode.NAME_INVALID,
                value=f"the {kind} is called {name!r}",
                rule="lower-case letters, digits, and hyphens between them: it is part of the names of buckets, queues "
                "and the image's repository",
                way_out=f"call the {kind}, for example, {_suggestion(name)}",
            )
    _checked(f"{project}-{stack}-{LONGEST_BUCKET_PART}-", BUCKET_PREFIX_LIMIT)


def _suggestion(name: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", name.lower())) or "dev"


def physical_name(part: str, *, limit: int = FUNCTION_NAME_LIMIT, suffix: str = "") -> str:
    """``<project>-<stack>-<part><suffix>``.

    Raises:
        StackRefusal: NAME_TOO_LONG.
    """
    return _checked(f"{pulumi.get_project()}-{pulumi.get_stack()}-{part}{suffix}", limit)


def _checked(name: str, limit: int) -> str:
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
