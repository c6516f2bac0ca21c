"""Previews of a stack that is yet to be made, with the policy pack: there is no AWS, and nothing may ask it.

A preview that shows a change as known which is not, or the reverse, is one that nobody can review.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation
from pulumi.runtime import rpc

from one_consumer.pack import installed
from tests.engine.live import MAPPING, by_hand, judgements, long_list, nobody_at_home


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[automation.Stack]:
    with nobody_at_home(tmp_path_factory.mktemp("new") / "new", {"embedConsumer": "lambda"}) as stack:
        yield stack


@pytest.fixture(scope="module")
def pack() -> Path:
    return installed.executable()


def test_the_first_preview_asks_nobody_shows_what_is_unknown_and_passes_the_policy_pack(new, pack):
    events: list[automation.EngineEvent] = []
    judged, error = judgements(new, pack, events=events)
    assert error is None
    assert {code for code, level, _ in judged if level == "mandatory"} == set()
    shown = {
        event.res_outputs_event.metadata.urn.split("::")[-1]: event.res_outputs_event.metadata
        for event in events
        if event.res_outputs_event
    }
    assert {item.op.value for item in shown.values()} == {"create"}
    names = ("embed-queue", MAPPING, "network-s3", "network-merge-to-s3")
    planned: list[Any] = [shown[name].new for name in names]
    queue, mapping, endpoint, rule = planned
    assert (queue.outputs["url"], queue.outputs["name"]) == (rpc.UNKNOWN, "receipts-local-embed.fifo")
    assert (mapping.inputs["eventSourceArn"], mapping.inputs["enabled"]) == (rpc.UNKNOWN, True)
    assert endpoint.outputs["prefixListId"] == rpc.UNKNOWN
    assert rule.inputs["prefixListId"] == rpc.UNKNOWN


def test_a_second_mapping_written_by_hand_is_refused_before_the_stack_exists(new, pack):
    judged, error = judgements(new, pack, by_hand("mapping_beside_the_components"))
    assert isinstance(error, automation.CommandError)
    ((code, _, message),) = (item for item in judged if item[1] == "mandatory")
    assert code == "one-consumer"
    assert "'by-hand'" in message
    assert "'embed-lambda-maps-embed'" in message


@long_list
def test_a_service_written_by_hand_is_a_warning_as_long_as_its_rights_are_unknown(new, pack):
    judged, error = judgements(new, pack, by_hand("service_beside_the_components"))
    assert error is None
    assert ("one-consumer-unproven", "advisory") in {(code, level) for code, level, _ in judged}
