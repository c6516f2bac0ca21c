"""Exceptions from the guard: each has a reason and a last day. One that never ends is a rule that does not exist."""

from datetime import date
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import analyzer_pb2

from one_consumer.pack.codes import Code, Violation
from one_consumer.pack.server import Pack
from one_consumer.pack.settings import Allowance, SendsOnly, Settings, without_allowed

URN = "urn:pulumi:dev::shop::aws:sqs/queue:Queue::jobs"
FOUND = Violation(code=Code.ONE_CONSUMER, urn=URN, value="v", way_out="w", about=frozenset({"jobs", "jobs-4f2c1b9"}))
EXCEPTION = {"resource": "jobs", "reason": "moving to the worker", "until": "2027-01-31"}


class Refused(Exception):  # noqa: N818 - what the call is
    """The protocol's refusal."""


class Context:
    def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Refused(code, details)


def configured(pack: Pack, policy: str, level: int = analyzer_pb2.MANDATORY, **properties: Any) -> None:
    struct = struct_pb2.Struct()
    struct.update(properties)
    config = analyzer_pb2.PolicyConfig(enforcementLevel=level, properties=struct)  # pyrefly: ignore
    pack.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={policy: config}), Context())


@pytest.mark.parametrize("resource", ["jobs", "jobs-4f2c1b9", URN])
def test_an_exception_holds_up_to_its_last_day_and_then_says_that_it_ended(resource: str) -> None:
    allowance = Allowance(code=Code.ONE_CONSUMER, resource=resource, reason="r", until=date(2027, 1, 31))
    settings = Settings(allowances=(allowance,))
    assert without_allowed([FOUND], settings, date(2027, 1, 31)) == []
    (ended,) = without_allowed([FOUND], settings, date(2027, 2, 1))
    assert ended.way_out == "w; the exception for it ended on 2027-01-31"


def test_an_exception_is_for_one_code_and_one_resource() -> None:
    day = date(2027, 1, 31)
    for code, resource in ((Code.FIFO_BATCH_SIZE, "jobs"), (Code.ONE_CONSUMER, "other")):
        settings = Settings(allowances=(Allowance(code=code, resource=resource, reason="r", until=day),))
        assert without_allowed([FOUND], settings, day) == [FOUND]


def test_a_configuration_is_read_by_the_policies_names() -> None:
    sends_only = {"workload": "api", "queue": "jobs", "reason": "it shares the worker's role"}
    settings = Settings.read(
        {"one-consumer": {"allow": [EXCEPTION], "sendsOnly": [sends_only]}, "other": {"allow": [1]}}
    )
    assert settings.allowances == (
        Allowance(code=Code.ONE_CONSUMER, resource="jobs", reason="moving to the worker", until=date(2027, 1, 31)),
    )
    assert settings.sends_only == (SendsOnly(workload="api", queue="jobs"),)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({**EXCEPTION, "until": "2027-02-30"}, "'2027-02-30' is no day"),
        ({**EXCEPTION, "reason": " "}, "'reason'"),
        ({"resource": "jobs", "reason": "r"}, "'until'"),
    ],
)
def test_an_exception_without_reason_or_day_is_refused_with_the_way_out(item: dict[str, str], said: str) -> None:
    with pytest.raises(Refused) as refusal:
        configured(Pack(), "one-consumer", allow=[item])
    code, details = refusal.value.args
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said in details
    assert "Way out:" in details


def test_the_engine_is_told_what_each_policy_may_be_configured_with() -> None:
    policies = {policy.name: policy for policy in Pack().GetAnalyzerInfo(None, None).policies}
    for name, policy in policies.items():
        allow: Any = policy.configSchema.properties["allow"]
        assert list(allow["items"]["required"]) == ["resource", "reason", "until"]
        assert ("sendsOnly" in policy.configSchema.properties) == (name == "one-consumer")
