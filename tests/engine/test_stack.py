"""The whole program by the real engine, on one stack that its tests share in their order.

A wrong edge here is two consumers of one queue, or a switch that never ends.
"""

import copy
import itertools
import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from pulumi import automation

from one_consumer.pack import installed
from ops.auditing import audit
from ops.local.engines.steps import EngineError
from ops.stacks.local import local_target
from stack.errors import SettingsRefused
from tests.engine.live import (
    EVERYTHING,
    LOCK,
    MAIN,
    MAPPING,
    SERVICE,
    SHORT,
    Live,
    by_hand,
    client,
    counted,
    judgements,
    long_list,
)
from tests.engine.switch_command import kill_at

CIRCUIT = ["lambda", "ecs", "hybrid", "none", "lambda", "hybrid", "ecs"]
CIRCUIT += ["lambda", "none", "ecs", "none", "hybrid", "lambda"]
"""Each of the twelve switches once."""
PAIRS = list(itertools.pairwise(CIRCUIT))
SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"
"""What Pulumi writes beside each secret of a state (sdk/go/common/resource/sig)."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    live = Live(tmp_path_factory.mktemp("engine") / "stack")
    with live.stack as stack:
        stack.up({"embedConsumer": "lambda", **SHORT}, engine="pulumi")
        yield live
        stack.down(destroy=True)


def test_a_second_preview_is_empty_and_so_is_one_that_looks_at_everything_first(live):
    with live.opened("lambda") as stack:
        for refresh in (None, True) if EVERYTHING else (True,):
            assert set(counted(stack.preview(refresh=refresh).change_summary)) == {"same"}


def test_provisioners_say_which_outputs_are_computed(live):
    """One that forgets an output shows false updates of its dependents, or none, at every preview."""
    with live.stack._registry() as registry:
        for resource in live.stack._engine()._resources():
            if resource.get("custom") and not resource["type"].startswith("pulumi:"):
                computed = set(registry.provisioner(resource["type"]).computed)
                made = set(resource["outputs"]) - set(resource["inputs"])
                assert made <= computed, resource["urn"]
                assert computed <= set(resource["outputs"]), resource["urn"]


@long_list
def test_a_drain_that_fails_leaves_no_consumer_and_the_next_update_goes_on(live):
    outputs = live.stack.outputs()
    with client(live.stack, "lambda") as function:
        stranger = function.create_event_source_mapping(
            EventSourceArn=f"arn:aws:sqs:us-east-1:000000000000:{outputs['embedQueueUrl'].rsplit('/', 1)[-1]}",
            FunctionName=outputs["uploadFunctionName"],
            Enabled=True,
        )["UUID"]
    with pytest.raises(EngineError, match=r"HANDOVER_NOT_DRAINED.*Way out"):
        live.update("ecs")
    assert (live.mapping(), live.desired_count()) == ("Disabled", 0)
    assert live.stack.unfinished() == "ecs"
    with client(live.stack, "lambda") as function:
        function.delete_event_source_mapping(UUID=stranger)
    assert live.ended(MAPPING) < live.hooked()
    changed = {step.name for step in live.update("ecs")}
    assert changed >= {LOCK, SERVICE}
    assert MAPPING not in changed
    assert live.hooked() < live.ended(LOCK) < live.began(SERVICE)
    assert (live.mapping(), live.desired_count(), live.stack.unfinished()) == ("Disabled", 1, None)


@long_list
def test_what_was_switched_by_hand_is_found_and_put_right_the_outgoing_consumer_first(live):
    outputs = live.stack.outputs()
    with client(live.stack, "lambda") as function, client(live.stack, "ecs") as ecs:
        function.update_event_source_mapping(UUID=outputs["embedMappingId"], Enabled=True)
        ecs.update_service(cluster=outputs["clusterName"], service=outputs["serviceName"], desiredCount=0)
    with live.opened("ecs") as stack:
        live.events.clear()
        summary = stack.up(refresh=True, on_event=live.events.append).summary.resource_changes
    assert summary["update"] == 2
    assert live.ended(MAPPING) < live.began(SERVICE)
    assert (live.mapping(), live.desired_count()) == ("Disabled", 1)


def test_settings_that_are_refused_change_nothing_whoever_refuses_them(live):
    """The engine checks the types in Pulumi.yaml before the program runs; the program checks all the rest."""
    updates, consumer = live.stack.updates(), live.stack.settings()["embedConsumer"]
    with pytest.raises(EngineError, match=r"receipts:logRetentionDays.*integer"):
        live.update(consumer, logRetentionDays="many")
    with pytest.raises(SettingsRefused, match="CHOICE_UNKNOWN"):
        live.update("nobody")
    assert live.stack.updates() == updates
    assert live.stack.settings()["embedConsumer"] == consumer


def test_the_exported_state_holds_no_secret(live):
    with live.opened("ecs") as stack:
        exported = json.dumps(stack.export_stack().deployment)
    assert SECRET_MARK not in exported
    assert "ciphertext" not in exported


@pytest.mark.parametrize("target", [MAPPING, SERVICE, LOCK] if EVERYTHING else [MAPPING])
def test_a_targeted_update_while_the_consumer_is_to_change_is_refused_in_a_sentence_and_changes_nothing(live, target):
    present = live.stack.outputs()["embedConsumer"]
    before = live.mapping(), live.desired_count()
    live.events.clear()
    with live.opened("none" if present != "none" else "lambda") as stack, pytest.raises(automation.CommandError):
        stack.up(target=[f"**::{target}"], on_event=live.events.append)
    errors = [
        item.diagnostic_event.message
        for item in live.events
        if item.diagnostic_event and item.diagnostic_event.severity == "error"
    ]
    assert any("TARGETED_SWITCH" in error and "without --target" in error for error in errors), errors
    assert not any("Duplicate" in error for error in errors)
    assert not any(live.changed(name) for name in (MAPPING, SERVICE, LOCK))
    assert (live.mapping(), live.desired_count()) == before


def test_a_consumer_written_by_hand_is_refused_by_the_policy_pack_beside_what_exists(live, tmp_path):
    with live.opened("ecs") as stack:
        judged, error = judgements(stack, installed.executable(), by_hand("service_beside_the_components"))
    assert isinstance(error, automation.CommandError)
    ((code, _, message),) = (item for item in judged if item[1] == "mandatory")
    assert code == "one-consumer"
    assert "ECS service 'by-hand'" in message


def test_a_state_is_judged_from_a_file_without_a_login(live, tmp_path, cli):
    with live.opened("ecs") as stack:
        exported = stack.export_stack()
    state = {"version": exported.version, "deployment": exported.deployment}
    command = [str(cli), "policy", "analyze", "--non-interactive", "--policy-pack", str(installed.executable())]
    nowhere = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PULUMI_SKIP_UPDATE_CHECK": "true"}

    def analyze(name: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / name).write_text(json.dumps(state))
        return subprocess.run(
            [*command, "--file", name], cwd=tmp_path, env=nowhere, capture_output=True, text=True, check=False
        )

    passed = analyze("ours.json")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    (ours,) = (item for item in state["deployment"]["resources"] if item["urn"].endswith(f"::{MAPPING}"))
    second = copy.deepcopy(ours)
    second["urn"], second["id"] = ours["urn"].replace(MAPPING, "by-hand"), "another"
    second["inputs"]["enabled"] = second["outputs"]["enabled"] = True
    state["deployment"]["resources"].append(second)
    refused = analyze("second.json")
    assert refused.returncode != 0
    assert "ONE_CONSUMER" in refused.stdout + refused.stderr


@pytest.mark.parametrize(("before", "after"), PAIRS if EVERYTHING else [("ecs", "none")])
def test_a_switch_turns_one_off_drains_moves_the_lock_and_turns_the_next_one_on(live, before, after):
    if live.stack.outputs()["embedConsumer"] != before:
        live.update(before)
    assert live.update(after)
    live.check_order(MAIN[before], MAIN[after])
    assert [item.finding for item in audit(local_target(live.stack)) if item.finding] == []


MOMENTS = ("hooked", f"began {MAPPING}", f"ended {MAPPING}", f"ended {LOCK}", f"began {SERVICE}", f"ended {SERVICE}")


@long_list
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_engine_killed_in_a_switch_leaves_at_most_one_consumer_and_the_next_update_goes_on(live, moment):
    if live.stack.outputs()["embedConsumer"] != "lambda":
        live.update("lambda")
    kill_at(live.stack, "ecs", moment)
    assert live.stack.unfinished() == "ecs"
    on = [live.mapping() != "Disabled", live.desired_count() > 0]
    assert sum(on) <= 1, "two consumers"
    assert live.update("ecs")
    assert (live.mapping(), live.desired_count(), live.stack.unfinished()) == ("Disabled", 1, None)
    assert [item.finding for item in audit(local_target(live.stack)) if item.finding] == []


@long_list
def test_a_key_is_in_no_file_of_a_stack_that_is_down_and_is_handed_over_again_when_it_comes_up(live, monkeypatch):
    key, settings = "sk-of-this-test-alone", live.stack.settings()
    monkeypatch.setenv("OPENAI_API_KEY", key)
    live.update("none", embedder="openai", embeddingDimensions=64, openaiBaseUrl="http://127.0.0.1:9")
    live.stack.down()
    files = [path for path in live.stack.state_directory.rglob("*") if path.is_file()]
    assert [path for path in files if key.encode() in path.read_bytes()] == []
    live.update("none")
    secret = live.stack.outputs()["openaiApiKeySecretArn"]
    with client(live.stack, "secretsmanager") as secrets:
        assert secrets.get_secret_value(SecretId=secret)["SecretString"] == key
    live.stack._keep_settings(settings)
    live.update("none")


@long_list
def test_destroying_a_hybrid_stack_needs_its_program_for_the_hooks_and_leaves_nothing(live):
    if live.stack.outputs()["embedConsumer"] != "hybrid":
        live.update("hybrid")
    with live.opened("hybrid") as stack, pytest.raises(automation.CommandError, match="run-program"):
        stack.destroy()
    live.stack.down(destroy=True)
    assert not live.stack.state_directory.exists()
