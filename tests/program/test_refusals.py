"""What may not be deployed is refused with its code, value, rule and way out, before anything is made."""

from typing import Any

import pytest
import yaml

from stack.errors import RefusalCode, SettingsRefused
from stack.settings import load
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
