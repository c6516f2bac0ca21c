"""The policy pack as the engine runs it on a stack that is yet to be made; ``test_stack.py`` has one that exists."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi import automation

from tests.engine.live import by_hand, judgements, nobody_at_home, policy_pack


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[automation.Stack]:
    with nobody_at_home(tmp_path_factory.mktemp("policy") / "new", {"embedConsumer": "lambda"}) as stack:
        yield stack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return policy_pack(tmp_path_factory.mktemp("pack"))


def test_our_own_stack_passes(new, pack):
    judged, error = judgements(new, pack)
    assert error is None
    assert {code for code, level, _ in judged if level == "mandatory"} == set()


def test_a_second_mapping_written_by_hand_is_refused_before_the_stack_exists(new, pack):
    judged, error = judgements(new, pack, by_hand("mapping_beside_the_components"))
    assert isinstance(error, automation.CommandError)
    ((code, _, message),) = (item for item in judged if item[1] == "mandatory")
    assert code == "one-consumer"
    assert "'by-hand'" in message
    assert "'embed-lambda-maps-embed'" in message


def test_a_service_written_by_hand_is_a_warning_as_long_as_its_rights_are_unknown(new, pack):
    judged, error = judgements(new, pack, by_hand("service_beside_the_components"))
    assert error is None
    assert ("one-consumer-unproven", "advisory") in {(code, level) for code, level, _ in judged}
