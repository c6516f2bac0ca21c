"""What may not be deployed is refused with its code, value, rule and way out, before anything is made."""

from typing import Any

import pytest
import yaml

from stack.errors import RefusalCode, SettingsRefused, StackRefusal
from stack.loading import load
from tests.program import engine
from tests.program.engine import PROJECT

REFUSED: list[tuple[dict[str, Any], RefusalCode, str]] = [
    ({"embedConsumer": "fargate"}, RefusalCode.CHOICE_UNKNOWN, "fargate"),
    ({"embedConsummer": "ecs"}, RefusalCode.SETTING_UNKNOWN, "embedConsummer"),
    ({"lambda": {"batch": 3}}, RefusalCode.SETTING_UNKNOWN, "lambda.batch"),
    ({"lambda": {"batchSize": 11}}, RefusalCode.OUT_OF_RANGE, "11"),
    ({"lambda": {"maximumConcurrency": 1}}, RefusalCode.OUT_OF_RANGE, "1"),
    ({"queue": {"visibilityTimeoutSeconds": 299}}, RefusalCode.VISIBILITY_BELOW_TIMEOUT, "299"),
    ({"queue": {"retentionDays": 1, "maxReceiveCount": 48}}, RefusalCode.DEAD_LETTER_UNREACHABLE, "86400"),
    ({"ecs": {"cpu": 256, "memoryMb": 4096}}, RefusalCode.FARGATE_SIZE_IMPOSSIBLE, "4096"),
    ({"ecs": {"stopTimeoutSeconds": 121}}, RefusalCode.OUT_OF_RANGE, "121"),
    (
        {"lambda": {"timeoutSeconds": 60}, "queue": {"visibilityTimeoutSeconds": 119}},
        RefusalCode.VISIBILITY_BELOW_STOP,
        "= 119",
    ),
    ({"lambda": {"timeoutSeconds": 5}}, RefusalCode.VISIBILITY_BELOW_STOP, "= 30"),
    ({"ecs": {"jobSeconds": 60, "stopTimeoutSeconds": 61}}, RefusalCode.STOP_BEYOND_JOB, "= 61"),
    ({"ecs": {"jobSeconds": 3_601}}, RefusalCode.OUT_OF_RANGE, "3601"),
    ({"ecs": {"capacity": "FARGATE_SPOT"}}, RefusalCode.CHOICE_UNKNOWN, "FARGATE_SPOT"),
    ({"ecs": {"allowExec": "perhaps"}}, RefusalCode.SETTING_INVALID, "perhaps"),
    ({"embedConsumer": "lambda", "ecs": {"desiredCount": 2}}, RefusalCode.CONSUMER_CONTRADICTION, "desiredCount = 2"),
    ({"embedConsumer": "none", "ecs": {"desiredCount": 1}}, RefusalCode.CONSUMER_CONTRADICTION, "desiredCount = 1"),
    ({"embedConsumer": "ecs", "ecs": {"desiredCount": 0}}, RefusalCode.CONSUMER_CONTRADICTION, "desiredCount = 0"),
    ({"embedConsumer": "hybrid", "ecs": {"desiredCount": 0}}, RefusalCode.CONSUMER_CONTRADICTION, "desiredCount = 0"),
    ({"embedConsumer": "ecs", "ecs": {"desiredCount": 5}}, RefusalCode.CONSUMER_CONTRADICTION, "desiredCount = 5"),
    ({"handover": {"timeoutSeconds": 300}}, RefusalCode.HANDOVER_TOO_SHORT, "300"),
    ({"handover": {"timeoutSeconds": 310, "quietSeconds": 310}}, RefusalCode.HANDOVER_TOO_SHORT, "quietSeconds = 310"),
    ({"handover": {"pollSeconds": 0}}, RefusalCode.OUT_OF_RANGE, "0"),
    ({"ecs": {"desiredCount": True}}, RefusalCode.SETTING_INVALID, "True"),
    ({"hybrid": {"largeReceiptRows": -1}}, RefusalCode.OUT_OF_RANGE, "-1"),
    ({"imageUri": "repository:latest"}, RefusalCode.IMAGE_NOT_BY_DIGEST, "repository:latest"),
    ({"embedder": "minilm", "embeddingDimensions": 512}, RefusalCode.EMBEDDING_MISMATCH, "512"),
    ({"network": {"zones": ["us-east-1a", "eu-west-1a"]}}, RefusalCode.ZONE_OUTSIDE_REGION, "eu-west-1a"),
    ({"network": {"zones": ["cn-north-1a"]}}, RefusalCode.PARTITION_UNSUPPORTED, "aws-cn"),
    ({"network": {"cidr": "10.0.0.0/25"}}, RefusalCode.NETWORK_TOO_SMALL, "10.0.0.0/25"),
    ({"network": {"cidr": "10.0.0.0/24"}, "ecs": {"maximumTasks": 19}}, RefusalCode.NETWORK_TOO_SMALL, "= 19"),
    (
        {"network": {"cidr": "10.0.0.0/24", "zones": ["us-east-1a"]}, "ecs": {"maximumTasks": 10}},
        RefusalCode.NETWORK_TOO_SMALL,
        "= 10",
    ),
    ({"ecs": {"maximumTasks": 51}}, RefusalCode.OUT_OF_RANGE, "51"),
    ({"upload": {"maximumConcurrency": 1}}, RefusalCode.OUT_OF_RANGE, "1"),
    ({"monthlyBudget": 0}, RefusalCode.OUT_OF_RANGE, "0"),
    ({"monthlyBudget": "inf"}, RefusalCode.OUT_OF_RANGE, "inf"),
]


@pytest.mark.parametrize(("settings", "code", "value"), REFUSED)
def test_a_bad_setting_is_refused_with_its_way_out(settings: dict[str, Any], code: RefusalCode, value: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        load(settings)
    (refusal,) = refused.value.refusals
    assert refusal.code == code
    assert value in refusal.value
    assert refusal.rule
    assert refusal.way_out


def test_the_smallest_network_has_an_address_for_each_task_it_is_accepted_with() -> None:
    # A /28 has 16 addresses, of which AWS keeps 5, and a mount target, an endpoint and a function have one each.
    load({"network": {"cidr": "10.0.0.0/24"}, "ecs": {"maximumTasks": 18}})


@pytest.mark.parametrize(
    ("given", "visibility", "stop"),
    [
        ({}, 1_800, 120),
        ({"lambda": {"timeoutSeconds": 900}, "handover": {"timeoutSeconds": 1_000}}, 5_400, 120),
        ({"queue": {"visibilityTimeoutSeconds": 300}}, 300, 120),
        ({"ecs": {"jobSeconds": 45}}, 1_800, 45),
        ({"ecs": {"stopTimeoutSeconds": 30}}, 1_800, 30),
    ],
)
def test_what_is_not_told_follows_from_the_length_of_the_work(
    given: dict[str, Any], visibility: int, stop: int
) -> None:
    settings = load(given)
    assert (settings.visibility_timeout_seconds, settings.stop_timeout_seconds) == (visibility, stop)


WHERE: list[tuple[dict[str, str], RefusalCode, str]] = [
    ({"aws:region": ""}, RefusalCode.REGION_UNSET, "not set"),
    ({"aws:region": "eu-west-1"}, RefusalCode.ZONE_OUTSIDE_REGION, "aws:region eu-west-1"),
    ({"embedder": "minilm"}, RefusalCode.EMBEDDER_LOCAL_ONLY, "minilm"),
]


@pytest.mark.parametrize(("settings", "code", "value"), WHERE)
def test_what_cannot_be_deployed_there_is_refused_before_anything_is_made(
    settings: dict[str, str], code: RefusalCode, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A region in the environment must not fill in for the stack's.
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    recording = engine.Recording()
    monkeypatch.setattr(engine, "Recording", lambda: recording)
    with pytest.raises(SettingsRefused) as refused:
        engine.run_program(settings)
    (refusal,) = refused.value.refusals
    assert refusal.code == code
    assert value in refusal.value
    assert recording.made == {}


def test_minilm_is_for_one_machine() -> None:
    endpoints = '[{"sqs": "http://127.0.0.1:4566"}]'
    made = engine.run_program({"embedder": "minilm", "aws:endpoints": endpoints, "imageUri": engine.DIGEST_IMAGE})
    assert made.outputs["embedder"] == "minilm"


@pytest.mark.parametrize(
    ("stack", "code"),
    [
        ("Dev", RefusalCode.NAME_INVALID),
        ("dev_1", RefusalCode.NAME_INVALID),
        ("dev.1", RefusalCode.NAME_INVALID),
        ("-dev", RefusalCode.NAME_INVALID),
        ("d" * 18, RefusalCode.NAME_TOO_LONG),
    ],
)
def test_a_stack_name_that_aws_would_refuse_is_refused_before_anything_is_made(
    stack: str, code: RefusalCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = engine.Recording()
    monkeypatch.setattr(engine, "Recording", lambda: recording)
    with pytest.raises(StackRefusal) as refused:
        engine.run_program({}, stack=stack)
    assert refused.value.code == code
    assert recording.made == {}


@pytest.mark.parametrize("function", ["lambda", "merge"])
def test_a_timeout_that_aws_would_take_is_refused_in_the_providers_name(function: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        load({function: {"timeoutSeconds": 901}, "queue": {"visibilityTimeoutSeconds": 5_400}})
    (refusal,) = refused.value.refusals
    assert refusal.code == RefusalCode.OUT_OF_RANGE
    assert "pulumi-aws" in refusal.rule


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsRefused) as refused:
        load({"embedConsumer": "fargate", "lambda": {"batchSize": 11, "x": 1}, "imageUri": "a:b"})
    assert len(refused.value.refusals) == 4


def test_nothing_is_made_when_the_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = engine.Recording()
    monkeypatch.setattr(engine, "Recording", lambda: recording)
    with pytest.raises(SettingsRefused):
        engine.run_program({"embedConsumer": "fargate"})
    assert recording.made == {}


@pytest.mark.parametrize("stack", ["dev", "local"])
def test_the_shipped_stacks_are_accepted(stack: str) -> None:
    config = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text())["config"]
    load({key.removeprefix("receipts:"): value for key, value in config.items() if key.startswith("receipts:")})
