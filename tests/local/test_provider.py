"""The provider as an engine calls it, by gRPC; no engine is needed. A wrong answer replaces what should be kept."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from ops.local.engines.provider import serve
from ops.local.provisioners import Registry
from tests.local.things import THING, Things

URN = f"urn:pulumi:local::tests::receipts:stack:Any${THING}::a"


class Looked(Things):
    """A thing of which one can see whether it is there."""

    computed = ("label",)
    there = True

    def read(self, identifier: str, inputs: dict[str, Any]) -> dict[str, Any] | None:
        return {**inputs, "size": 7} if self.there else None


@pytest.fixture
def things() -> Looked:
    return Looked()


@pytest.fixture
def provider(things: Looked) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    with serve(Registry({THING: things}, {"test:index:ask": lambda arguments: arguments}), ["test"]) as attached:
        port = int(attached.removeprefix("test:"))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)


def struct(**properties: Any) -> Struct:
    return ParseDict(properties, Struct())


def diff(provider: Any, old: Struct, new: Struct) -> Any:
    return provider.Diff(provider_pb2.DiffRequest(urn=URN, id="a", old_inputs=old, news=new))


def test_a_preview_makes_nothing_and_says_what_is_unknown(provider, things):
    request = provider_pb2.CreateRequest(urn=URN, name="a", properties=struct(size=1), preview=True)
    assert MessageToDict(provider.Create(request).properties) == {"size": 1.0, "label": rpc.UNKNOWN}
    update = provider_pb2.UpdateRequest(
        urn=URN,
        id="a",
        old_inputs=struct(size=1),
        olds=struct(size=1, label="label of a"),
        news=struct(size=2),
        preview=True,
    )
    assert MessageToDict(provider.Update(update).properties) == {"size": 2.0, "label": "label of a"}
    assert things.calls == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"size": 1}, {"size": 1}, (False, [], False)),
        ({"size": 1}, {"size": 2}, (True, [], False)),
        ({"size": 1}, {}, (True, [], False)),
        ({"shape": "round"}, {"shape": "square"}, (True, ["shape"], False)),
        ({"shape": "round", "called": "a"}, {"shape": "square", "called": "a"}, (True, ["shape"], True)),
        ({"shape": "round", "called": "a"}, {"shape": "square", "called": "b"}, (True, ["shape"], False)),
        ({"size": 1}, {"size": rpc.UNKNOWN}, (True, [], False)),
    ],
)
def test_a_change_is_an_update_or_a_replacement_with_the_old_one_first_where_a_name_is_taken(
    provider, old, new, expected
):
    answer = diff(provider, struct(**old), struct(**new))
    some = provider_pb2.DiffResponse.DIFF_SOME
    assert (answer.changes == some, list(answer.replaces), answer.deleteBeforeReplace) == expected


def test_what_is_there_is_read_and_what_is_gone_has_no_id(provider, things):
    request = provider_pb2.ReadRequest(urn=URN, id="a", inputs=struct(size=1), properties=struct(size=1, label="x"))
    found = provider.Read(request)
    assert (found.id, MessageToDict(found.inputs)) == ("a", {"size": 7.0})
    assert MessageToDict(found.properties) == {"size": 7.0, "label": "x"}
    things.there = False
    assert provider.Read(request).id == ""


def test_an_update_that_fails_tells_the_engine_what_may_be_there(provider, things):
    things.broken = {"a"}
    request = provider_pb2.UpdateRequest(
        urn=URN, id="a", old_inputs=struct(size=1), olds=struct(size=1, label="x"), news=struct(size=2)
    )
    with pytest.raises(grpc.RpcError) as failed:
        provider.Update(request)
    assert failed.value.details() == "RuntimeError: the power went out when it was done"
    trailing: Any = failed.value.trailing_metadata()
    (raw,) = (value for key, value in trailing if key == "grpc-status-details-bin")
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(raw).details[0].Unpack(detail)
    assert (detail.id, MessageToDict(detail.inputs)) == ("a", {"size": 2.0})
    assert MessageToDict(detail.properties) == {"size": 2.0, "label": "x"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda stub: stub.Create(provider_pb2.CreateRequest(urn=URN.replace(":Thing", ":Other"))), "test:index:Other"),
        (lambda stub: stub.Read(provider_pb2.ReadRequest(urn=URN, id="a")), "foreign"),
        (lambda stub: stub.Invoke(provider_pb2.InvokeRequest(tok="test:index:tell")), "test:index:tell"),
    ],
    ids=["a type that nothing provides", "a foreign resource", "a data source that nothing provides"],
)
def test_what_is_not_provided_is_refused_by_its_name(provider, call, words):
    with pytest.raises(grpc.RpcError) as refused:
        call(provider)
    assert words in (refused.value.details() or "")


def test_after_a_cancellation_nothing_begins_until_the_next_engine_comes(provider, things):
    provider.Cancel(Empty())
    request = provider_pb2.CreateRequest(urn=URN, name="a", properties=struct(size=1))
    with pytest.raises(grpc.RpcError) as refused:
        provider.Create(request)
    assert "interrupted" in (refused.value.details() or "")
    assert things.calls == []
    provider.Configure(provider_pb2.ConfigureRequest())
    assert provider.Create(request).id == "a"
