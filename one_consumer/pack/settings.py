"""The pack's configuration, read from plain values: exceptions from a rule, and workloads that only send.

Pulumi validates a configuration by ``ALLOW_SCHEMA`` and ``SENDS_ONLY_SCHEMA`` before it reaches the pack
(https://www.pulumi.com/docs/iac/packages-and-automation/crossguard/configuration/); what a schema cannot express, such
as a date that does not exist, is checked here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from one_consumer.pack.codes import Code, Violation

TEXT: Final = {"type": "string", "minLength": 1}
ALLOW, SENDS_ONLY = "allow", "sendsOnly"
ALLOW_SCHEMA: Final[dict[str, Any]] = {
    "description": "Findings of this policy that are accepted, each for a reason and until a day.",
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "resource": {
                **TEXT,
                "description": "The queue or other resource of the finding: its name in the program, or its URN.",
            },
            "reason": TEXT,
            "until": {
                "type": "string",
                "pattern": r"^\d{4}-\d{2}-\d{2}$",
                "description": "The last day on which it is accepted.",
            },
        },
        "required": ["resource", "reason", "until"],
        "additionalProperties": False,
    },
}
SENDS_ONLY_SCHEMA: Final[dict[str, Any]] = {
    "description": "Workloads that only send to a queue although their rights would let them receive.",
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "workload": {
                **TEXT,
                "description": "The service, function or other workload: its name in the program, or its URN.",
            },
            "queue": {**TEXT, "description": "The queue: its name in the program, its name in AWS, or its ARN."},
            "reason": TEXT,
        },
        "required": ["workload", "queue", "reason"],
        "additionalProperties": False,
    },
}


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """A finding that is accepted for a reason, up to and including a day."""

    code: Code
    resource: str
    reason: str
    until: date

    def is_for(self, violation: Violation) -> bool:
        """Is it this finding that is accepted?"""
        return self.code is violation.code and self.resource in (violation.urn, *violation.about)


@dataclass(frozen=True, kw_only=True)
class SendsOnly:
    """A declaration that a workload only sends to a queue; ``declarations.py`` checks it."""

    workload: str
    queue: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of a configuration."""

    allowances: tuple[Allowance, ...] = ()
    sends_only: tuple[SendsOnly, ...] = ()

    @classmethod
    def read(cls, values: Mapping[str, Mapping[str, Any]]) -> "Settings":
        """Read the properties of each policy, by the policy's name.

        Raises:
            ValueError: something is missing or no date, with the policy, the value and the way out.
        """
        allowances: list[Allowance] = []
        sends_only: list[SendsOnly] = []
        for code in Code:
            properties = values.get(code.policy_name, {})
            for item in _items(properties, ALLOW):
                resource, reason, until = (_text(item, key, code) for key in ("resource", "reason", "until"))
                allowances.append(Allowance(code=code, resource=resource, reason=reason, until=_day(until, code)))
            for item in _items(properties, SENDS_ONLY):
                workload, queue, _ = (_text(item, key, code) for key in ("workload", "queue", "reason"))
                sends_only.append(SendsOnly(workload=workload, queue=queue))
        return cls(allowances=tuple(allowances), sends_only=tuple(sends_only))


def without_allowed(violations: Iterable[Violation], settings: Settings, today: date) -> list[Violation]:
    """What is left when the exceptions that still hold are taken out; one that has run out says so."""
    left = []
    for violation in violations:
        ends = [allowance.until for allowance in settings.allowances if allowance.is_for(violation)]
        if not ends:
            left.append(violation)
        elif max(ends) < today:
            way_out = f"{violation.way_out}; the exception for it ended on {max(ends)}"
            left.append(replace(violation, way_out=way_out))
    return left


def _items(properties: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = properties.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(item: Mapping[str, Any], key: str, code: Code) -> str:
    value = item.get(key)
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(f"policy {code.policy_name!r}: {dict(item)} has no {key!r}. Way out: give it one, as a text.")


def _day(text: str, code: Code) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"policy {code.policy_name!r}: {text!r} is no day. Way out: year, month and day, such as 2027-01-31."
        ) from None
