"""The pack as Pulumi's host runs it, spoken to by gRPC. One that does not start judges nothing."""

import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from one_consumer.pack import installed
from one_consumer.pack.codes import Code
from tests.policy.recorded import messages_of, record
from tests.program.engine import Recording, run_program

SECONDS = 30


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    # As Pulumi's Python host runs a pack's folder; the engine's address is never called.
    folder = tmp_path_factory.mktemp("pack")
    installed.write_folder(folder)
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:9", "."]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port.isdigit(), process.stderr and process.stderr.read()
        with grpc.insecure_channel(f"127.0.0.1:{int(port)}") as channel:
            yield analyzer_pb2_grpc.AnalyzerStub(channel)
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


def analyze(pack: analyzer_pb2_grpc.AnalyzerStub, recording: Recording) -> list[analyzer_pb2.AnalyzeDiagnostic]:
    request = analyzer_pb2.AnalyzeStackRequest(resources=messages_of(recording))
    return list(pack.AnalyzeStack(request, timeout=SECONDS).diagnostics)


def test_the_pack_says_which_codes_it_has_and_which_of_them_stop_an_update(
    pack: analyzer_pb2_grpc.AnalyzerStub,
) -> None:
    info = pack.GetAnalyzerInfo(empty_pb2.Empty(), timeout=SECONDS)
    assert info.name == "one-queue-one-consumer"
    advisory = {"one-consumer-unproven", "visibility-below-advised", "failures-reported", "unjudged"}
    assert {policy.name: policy.enforcementLevel for policy in info.policies} == {
        code.policy_name: analyzer_pb2.ADVISORY if code.policy_name in advisory else analyzer_pb2.MANDATORY
        for code in Code
    }
    assert {policy.policy_type for policy in info.policies} == {analyzer_pb2.POLICY_TYPE_STACK}


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
@pytest.mark.parametrize("consumer", ["lambda", "ecs", "hybrid", "none"])
def test_our_own_program_passes(pack: analyzer_pb2_grpc.AnalyzerStub, consumer: str, preview: bool) -> None:
    assert analyze(pack, run_program({"embedConsumer": consumer}, preview=preview)) == []


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
def test_a_mapping_written_by_hand_stops_the_update(pack: analyzer_pb2_grpc.AnalyzerStub, preview: bool) -> None:
    (diagnostic,) = analyze(pack, record("mapping_beside_the_components", preview=preview))
    assert diagnostic.enforcementLevel == analyzer_pb2.MANDATORY
    assert diagnostic.policyName == "one-consumer"
    assert diagnostic.urn.endswith("::embed-queue")
    for part in ("at most one consumer", "ONE_CONSUMER", "'embed-lambda-maps-embed'", "'by-hand'", "Way out: "):
        assert part in diagnostic.message


def test_a_service_written_by_hand_warns_at_the_first_preview_and_stops_what_follows(
    pack: analyzer_pb2_grpc.AnalyzerStub,
) -> None:
    for preview, name, level in (
        (True, "one-consumer-unproven", analyzer_pb2.ADVISORY),
        (False, "one-consumer", analyzer_pb2.MANDATORY),
    ):
        (diagnostic,) = analyze(pack, record("service_beside_the_components", preview=preview))
        assert (diagnostic.policyName, diagnostic.enforcementLevel) == (name, level)
        assert "ECS service" in diagnostic.message


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
def test_what_is_unknown_or_ignored_arrives_as_such(pack: analyzer_pb2_grpc.AnalyzerStub, preview: bool) -> None:
    diagnostics = analyze(pack, record("two_mappings", preview=preview))
    assert {item.urn.rsplit("::", 1)[1] for item in diagnostics} == {"jobs", "ignored"}
    assert {item.policyName for item in diagnostics} == {"one-consumer"}


def test_a_reference_to_a_component_is_one_to_the_queue_in_it(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    resources = messages_of(record("two_mappings", preview=True))
    component = analyzer_pb2.AnalyzerResource(urn="urn:pulumi:test::any::any:any:Any::component", type="any:any:Any")
    for item in resources:
        if item.name == "jobs":
            item.parent = component.urn
        if item.name == "first":
            item.propertyDependencies["eventSourceArn"].urns[:] = [component.urn]
    request = analyzer_pb2.AnalyzeStackRequest(resources=[component, *resources])
    diagnostics = pack.AnalyzeStack(request, timeout=SECONDS).diagnostics
    assert sorted(item.urn.rsplit("::", 1)[1] for item in diagnostics) == ["ignored", "jobs"]


def test_a_level_may_be_changed_by_the_packs_configuration(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    recording = record("unreported_failures")
    assert len(analyze(pack, recording)) == 2
    level = analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.DISABLED)
    pack.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={"failures-reported": level}), timeout=SECONDS)
    try:
        assert analyze(pack, recording) == []
    finally:
        pack.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={}), timeout=SECONDS)
    assert len(analyze(pack, recording)) == 2


def test_a_single_resource_is_never_refused_only_a_stack(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    queue = next(item for item in messages_of(record("two_mappings")) if item.name == "jobs")
    request = analyzer_pb2.AnalyzeRequest(type=queue.type, name=queue.name, urn=queue.urn, properties=queue.properties)
    assert list(pack.Analyze(request, timeout=SECONDS).diagnostics) == []
