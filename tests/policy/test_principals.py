"""Whom a queue's statement is about; one that is misread hides a consumer, or refuses a good program."""

from typing import Any

import pytest

from one_consumer.pack.graph import UNKNOWN
from one_consumer.pack.principals import Principal, concerns, holds
from one_consumer.pack.workloads import ROLE
from tests.policy.test_graph import resource

ARN = "arn:aws:iam::000000000000:role/teams/poller"
OTHER = "arn:aws:iam::000000000000:role/other"
BY_ARN, BY_NAME, NOBODY = Principal(text=ARN), Principal(text="poller"), Principal()
OF_STACK = Principal(resource=resource(ROLE, "poller", properties={"arn": ARN, "name": "poller"}))
NOT_YET = Principal(resource=resource(ROLE, "poller", properties={"arn": UNKNOWN, "name": "poller"}))
NAMELESS = Principal(resource=resource(ROLE, "poller", properties={"arn": UNKNOWN, "name": UNKNOWN}))
KNOWN = (BY_ARN, OF_STACK)
NAMED = (*KNOWN, BY_NAME, NOT_YET)


@pytest.mark.parametrize(
    ("statement", "principals", "answer"),
    [
        ({"Principal": "*"}, (*NAMED, NAMELESS, NOBODY), True),
        ({"Principal": {"AWS": [OTHER, "*"]}}, (*NAMED, NAMELESS, NOBODY), True),
        ({"Principal": {"AWS": ARN}}, NAMED, True),
        ({"Principal": {"AWS": OTHER}}, (*NAMED, NAMELESS), False),
        ({"Principal": {"AWS": OTHER}}, (NOBODY,), None),
        ({"Principal": {"Service": "*"}}, (*NAMED, NOBODY), False),
        ({"Principal": None}, (*NAMED, NOBODY), False),
        ({"NotPrincipal": {"AWS": [ARN, "000000000000"]}}, NAMED, False),
        ({"NotPrincipal": {"AWS": [OTHER, "000000000000"]}}, (*NAMED, NAMELESS), True),
        # An account that is allowed gives its right on by the roles' own policies; one that is denied is all its roles.
        ({"Effect": "Allow", "Principal": {"AWS": "000000000000"}}, (*NAMED, NOBODY), False),
        ({"Effect": "Deny", "Principal": {"AWS": "000000000000"}}, KNOWN, True),
        ({"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}}, KNOWN, False),
        ({"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}}, (BY_NAME, NOT_YET, NOBODY), None),
    ],
)
def test_a_statement_is_about_a_role(
    statement: dict[str, Any], principals: tuple[Principal, ...], answer: bool | None
) -> None:
    assert {concerns(statement, principal) for principal in principals} == {answer}


@pytest.mark.parametrize(
    ("condition", "principals", "answer"),
    [
        ({"ArnEquals": {"aws:PrincipalArn": [OTHER, ARN]}}, NAMED, True),
        ({"ArnEquals": {"aws:PrincipalArn": OTHER}}, (*NAMED, NAMELESS), False),
        ({"ArnNotLike": {"aws:PrincipalArn": OTHER}}, (*NAMED, NAMELESS), True),
        ({"ForAnyValue:StringNotEqualsIfExists": {"AWS:PRINCIPALARN": ARN}}, NAMED, False),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/teams/*"}}, KNOWN, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/teams/*"}}, (BY_NAME, NOT_YET, NAMELESS, NOBODY), None),
        ({"StringNotLike": {"aws:PrincipalArn": "*"}}, (*NAMED, NAMELESS, NOBODY), False),
        # ``StringEquals`` knows no patterns.
        ({"StringEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/teams/*"}}, NAMED, False),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::${aws:PrincipalAccount}:role/teams/poller"}}, NAMED, None),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:sts::000000000000:assumed-role/poller/*"}}, NAMED, None),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:sts::000000000000:assumed-role/other/*"}}, NAMED, False),
        ({"StringEquals": {"aws:PrincipalAccount": ["000000000000"]}}, KNOWN, True),
        ({"StringNotEquals": {"aws:PrincipalAccount": "000000000000"}}, KNOWN, False),
        ({"StringEquals": {"aws:PrincipalAccount": "000000000000"}}, (BY_NAME, NOT_YET, NOBODY), None),
        # A task's call comes through no service.
        ({"ArnEquals": {"aws:SourceArn": "*"}}, (*NAMED, NOBODY), False),
        ({"ArnEqualsIfExists": {"aws:SourceArn": "*"}}, (*NAMED, NOBODY), True),
        ({"ArnNotEquals": {"aws:SourceArn": "*"}}, (*NAMED, NOBODY), True),
        ({"StringLike": {"aws:userid": "AROAEXAMPLE:*"}}, (*NAMED, NOBODY), None),
        ({"StringEquals": {"aws:PrincipalTag/team": "any"}}, (*NAMED, NOBODY), None),
    ],
)
def test_a_condition_on_the_caller_is_weighed(
    condition: dict[str, Any], principals: tuple[Principal, ...], answer: bool | None
) -> None:
    for otherwise in (True, False):
        statement = {"Condition": condition}
        assert {holds(statement, principal, otherwise=otherwise) for principal in principals} == {answer}


@pytest.mark.parametrize("otherwise", [True, False])
def test_a_condition_on_something_else_is_not(otherwise: bool) -> None:
    by_night = {"Condition": {"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}}
    assert holds(by_night, BY_ARN, otherwise=otherwise) is otherwise
    # All of a statement's conditions must hold.
    both = {"Condition": {**by_night["Condition"], "ArnEquals": {"aws:PrincipalArn": OTHER}}}
    assert holds(both, BY_ARN, otherwise=otherwise) is False


@pytest.mark.parametrize("strange", [None, UNKNOWN, 0, "", "*", [], {}, {"ArnLike": 0}, {"ArnLike": {"a": [None]}}])
def test_a_strange_condition_or_principal_breaks_nothing(strange: Any) -> None:
    for principal in (*NAMED, NAMELESS, NOBODY):
        holds({"Condition": strange}, principal, otherwise=True)
        concerns({"Principal": strange}, principal)
        concerns({"NotPrincipal": strange}, principal)
