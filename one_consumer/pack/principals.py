"""Whether a policy's statement concerns a task's role. What it allows or denies is decided elsewhere.

Answers are True, False, or None where a policy pack cannot know.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from one_consumer.pack.graph import Resource

Kind = TypeVar("Kind")
EVERYBODY: Final = "*"
ARN_KEY, ACCOUNT_KEY = "aws:principalarn", "aws:principalaccount"
ACCOUNT: Final = re.compile(r"(?:arn:[\w-]+:iam::)?(?P<number>\d{12})(?::root)?")
WILD: Final = re.compile(r"[*?]")
PRINCIPAL_KEYS: Final = ("aws:principal", "aws:user")
"""How condition keys about the caller begin (IAM user guide, reference_policies_condition-keys)."""
ORGANIZATION_KEYS: Final = ("aws:principalorgid", "aws:principalorgpaths")
SERVICE_KEYS: Final = ("aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths")
"""Keys that only the calls of AWS's own services have; a task's call has none."""
EXACT, PATTERN = ("stringequals",), ("stringlike", "arnequals", "arnlike")
"""``ArnEquals`` takes patterns too (IAM user guide, reference_policies_elements_condition_operators)."""


@dataclass(frozen=True)
class Principal:
    """A task's role: one of the stack, one that is only named, or an unknown one.

    Attributes:
        resource: the role when it is in the stack.
        text: its ARN or name when it is not.
        unknown: is it one that only the update will name?
    """

    resource: Resource | None = None
    text: str | None = None
    unknown: bool = False

    @property
    def key(self) -> str | None:
        """What a role's policies are found by: the URN, or the name that its ARN ends with."""
        return self.resource.urn if self.resource else self.name

    @property
    def name(self) -> str | None:
        """Its name, when that is known."""
        if self.resource is not None:
            return self.resource.text("name")
        return self.text and self.text.rsplit("/", 1)[-1]

    @property
    def arn(self) -> str | None:
        """Its ARN, when that is known."""
        text = self.resource.text("arn") if self.resource else self.text
        return text if text and text.startswith("arn:") else None

    @property
    def account(self) -> str | None:
        """Its account, when that is known."""
        return f"{self.arn}:::::".split(":")[4] if self.arn else None

    def is_meant_by(self, arn: str, *, pattern: bool = False) -> bool | None:
        """Is it the role of an ARN, or one of those of a pattern?"""
        if (self.resource is None and self.text is None) or "${" in arn:
            return True if pattern and arn == EVERYBODY else None
        if self.resource is not None and self.resource.is_named_by(arn):
            return True
        wild = pattern and WILD.search(arn) is not None
        if ":assumed-role/" in arn:
            # A session's own ARN is not what AWS compares, but other evaluators do.
            role = arn.split("/")[1]
            same = fnmatchcase(self.name, role) if self.name else WILD.search(role)
            return None if same else False
        if self.arn is not None:
            return fnmatchcase(self.arn, arn) if wild else self.arn == arn
        if arn == EVERYBODY or not wild:
            # Before the update no text can hold the ARN of a role whose name is not known yet.
            return wild or arn.rsplit("/", 1)[-1] == self.name
        return None


def concerns(statement: Mapping[str, Any], principal: Principal) -> bool | None:
    """Is a queue's statement about this role, its condition left aside?

    An account that is denied is all its roles; one that is allowed may only give the right on, by their own policies,
    and one that is excepted is no role of it
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html).
    """
    if "NotPrincipal" in statement:
        return opposite(either(_is_among(name, principal) for name in named_in(statement["NotPrincipal"])))
    denies = statement.get("Effect") == "Deny"
    return either(_is_among(name, principal, accounts=denies) for name in named_in(statement.get("Principal")))


def singles_out(statement: Mapping[str, Any]) -> bool:
    """Does a statement say one by one whom it is about, or is it about everybody, or everybody of a kind?"""
    of_roles = any(
        key.lower() == ARN_KEY and "not" not in operator.lower() and not any(map(WILD.search, values))
        for operator, key, values in _conditions(statement)
    )
    return of_roles or ("NotPrincipal" not in statement and EVERYBODY not in named_in(statement.get("Principal")))


def is_lock(statement: Mapping[str, Any]) -> bool:
    """Is a denial one for everybody but some?"""
    return "NotPrincipal" in statement or (
        EVERYBODY in named_in(statement.get("Principal")) and "Condition" in statement
    )


def holds(statement: Mapping[str, Any], principal: Principal, *, otherwise: bool) -> bool | None:
    """Does a statement's condition hold for a role? A condition on anything but the caller holds as is said here."""
    return every(
        _condition_holds(operator.lower(), key.lower(), values, principal, otherwise)
        for operator, key, values in _conditions(statement)
    )


def named_in(value: Any) -> list[str]:
    """The ARNs and accounts of a ``Principal``, and ``*`` for everybody."""
    return each(value.get("AWS"), str) if isinstance(value, Mapping) else [EVERYBODY] if value == EVERYBODY else []


def each(value: Any, kind: type[Kind]) -> list[Kind]:
    """One or many, as IAM writes them, as many; what is of another kind is none."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, kind)]


def either(answers: Iterable[bool | None]) -> bool | None:
    """Is one of them so?"""
    given = set(answers)
    return True if True in given else None if None in given else False


def every(answers: Iterable[bool | None]) -> bool | None:
    """Are they all so?"""
    given = set(answers)
    return False if False in given else None if None in given else True


def opposite(answer: bool | None) -> bool | None:
    """The contrary; unknown stays unknown."""
    return None if answer is None else not answer


def _is_among(name: str, principal: Principal, *, accounts: bool = False) -> bool | None:
    """Is a role one of those that a name in a ``Principal`` means?"""
    account = ACCOUNT.fullmatch(name)
    if name == EVERYBODY or account is None:
        return name == EVERYBODY or principal.is_meant_by(name)
    if not accounts:
        return False
    return None if principal.account is None else principal.account == account["number"]


def _conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    condition = statement.get("Condition")
    for operator, tests in condition.items() if isinstance(condition, Mapping) else ():
        for key, values in tests.items() if isinstance(tests, Mapping) else ():
            yield operator, key, each(values, str)


def _condition_holds(operator: str, key: str, values: list[str], principal: Principal, otherwise: bool) -> bool | None:
    comparison = operator.rsplit(":", 1)[-1].removesuffix("ifexists")
    positive = comparison.replace("not", "", 1)
    readable = positive in (*EXACT, *PATTERN)
    if key in SERVICE_KEYS and readable:
        # Without the key in the call, what must not be equal is not, and what must be is not either.
        return positive != comparison or operator.endswith("ifexists")
    if not key.startswith(PRINCIPAL_KEYS):
        return otherwise
    if key in ORGANIZATION_KEYS:
        # A service is most likely of the queue's own organization, which is what such a denial spares.
        return None if otherwise else False
    if key == ARN_KEY and readable:
        found = either(principal.is_meant_by(value, pattern=positive in PATTERN) for value in values)
    elif key == ACCOUNT_KEY and readable and principal.account is not None:
        found = principal.account in values
    else:
        return None
    return found if positive == comparison else opposite(found)
