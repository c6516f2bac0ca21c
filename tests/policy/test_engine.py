"""The pack under Pulumi's own engine, where its CLI is found. The engine checks configurations and sets levels."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from one_consumer.pack import installed

SECONDS = 120
ARN = "arn:aws:sqs:us-east-1:000000000000:jobs"
STACK = "urn:pulumi:dev::shop::pulumi:pulumi:Stack::shop-dev"
PROVIDER = "urn:pulumi:dev::shop::pulumi:providers:aws::default"


def found_cli() -> str | None:
    """The CLI on the PATH, or the one that was built for this project."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "receipts"
    built = sorted(cache.glob("pulumi-*/bin/pulumi"))
    return shutil.which("pulumi") or (str(built[-1]) if built else None)


def resource(kind: str, name: str, /, **outputs: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:dev::shop::{kind}::{name}"
    common = {"custom": True, "id": name, "parent": STACK, "provider": f"{PROVIDER}::p"}
    return {"urn": urn, "type": kind, "inputs": outputs, "outputs": outputs, **common}


def analyzed(directory: Path, configuration: dict[str, Any] | None = None) -> tuple[int, str]:
    """The exit code and the words of ``pulumi policy analyze`` over a stack with two mappings of one queue."""
    cli = found_cli()
    if cli is None:
        pytest.skip("the Pulumi CLI is neither on the PATH nor in this project's cache")
    kind = "aws:lambda/eventSourceMapping:EventSourceMapping"
    resources = [
        {"urn": STACK, "type": "pulumi:pulumi:Stack", "custom": False},
        {"urn": PROVIDER, "type": "pulumi:providers:aws", "custom": True, "id": "p"},
        resource("aws:sqs/queue:Queue", "jobs", arn=ARN, name="jobs"),
        *(resource(kind, name, eventSourceArn=ARN, functionName=name) for name in ("first", "second")),
    ]
    manifest = {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""}
    state = directory / "state.json"
    state.write_text(json.dumps({"version": 3, "deployment": {"manifest": manifest, "resources": resources}}))
    command = [cli, "policy", "analyze", "--color", "never", "--file", str(state), "--policy-pack"]
    command.append(str(installed.executable()))
    if configuration is not None:
        settings = directory / "configuration.json"
        settings.write_text(json.dumps(configuration))
        command += ["--policy-pack-config", str(settings)]
    environment = {
        **os.environ,
        "PULUMI_HOME": str(directory / "home"),
        "PULUMI_BACKEND_URL": f"file://{directory}",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.returncode, done.stdout + done.stderr


def allowed(**rest: str) -> dict[str, Any]:
    return {"one-consumer": {"allow": [{"resource": "jobs", "reason": "they move", "until": "9999-12-31", **rest}]}}


def test_the_engine_refuses_two_mappings_and_warns_of_their_batches(tmp_path: Path) -> None:
    code, words = analyzed(tmp_path)
    assert code != 0
    assert "[mandatory]  one-consumer  (aws:sqs:Queue: jobs)" in words
    assert "[advisory]  failures-reported" in words


def test_the_engine_takes_levels_and_exceptions_and_keeps_the_levels_that_are_not_set(tmp_path: Path) -> None:
    code, words = analyzed(tmp_path, allowed())
    assert code == 0, words
    assert "one-consumer  " not in words
    code, words = analyzed(tmp_path, allowed(resource="another"))
    assert code != 0
    assert "[mandatory]  one-consumer" in words
    code, words = analyzed(tmp_path, {**allowed(), "failures-reported": {"enforcementLevel": "mandatory"}})
    assert code != 0
    assert "[mandatory]  failures-reported" in words


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"one-consumer": {"allow": [{"resource": "jobs", "until": "2027-01-31"}]}}, "reason is required"),
        (allowed(until="2027-02-31"), "'2027-02-31' is no day"),
        (allowed(until="soon"), "pattern"),
    ],
)
def test_the_engine_refuses_an_exception_without_a_reason_or_a_day(
    tmp_path: Path, configuration: dict[str, Any], said: str
) -> None:
    code, words = analyzed(tmp_path, configuration)
    assert code != 0
    assert said in words
