"""How hooks reach AWS; a failure here lets a handover look at another account than the one that is updated."""

from typing import Any

import boto3
import pulumi
import pytest

from one_consumer.live.access import AssumedRole, AwsAccess
from stack.loading import load, read_access


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Any:
    def configure(**values: str) -> AwsAccess:
        full = {f"aws:{name}": value for name, value in values.items()}
        monkeypatch.setattr(pulumi.runtime.config, "get_config_env", lambda: full)
        pulumi.runtime.set_all_config(full)
        return read_access(load({}))

    yield configure
    pulumi.runtime.set_all_config({})


def test_the_providers_settings_are_the_hooks(configured):
    access = configured(
        profile="ops",
        accessKey="a",
        secretKey="s",
        token="t",
        assumeRoles='[{"roleArn": "arn:1", "externalId": "x"}, {"roleArn": "arn:2"}]',
        endpoints='[{"lambda": "http://l"}, {"sqs": "http://q"}]',
    )
    assert (access.profile, access.access_key, access.secret_key, access.session_token) == ("ops", "a", "s", "t")
    assert access.assumed_roles == [AssumedRole(arn="arn:1", external_id="x"), AssumedRole(arn="arn:2")]
    assert access.endpoint == "http://q"


def test_without_settings_boto3_looks_by_itself(configured):
    access = configured()
    assert (access.profile, access.access_key, access.endpoint, list(access.assumed_roles)) == (None, None, None, [])


def test_roles_are_taken_one_after_the_other_with_their_external_ids(monkeypatch):
    asked: list[tuple[dict[str, Any], dict[str, Any]]] = []

    class Session:
        def __init__(self, **_: Any) -> None:
            pass

        def client(self, service: str, **keys: Any) -> Any:
            self.keys = keys
            return self

        def assume_role(self, **arguments: Any) -> dict[str, Any]:
            asked.append((self.keys, arguments))
            number = len(asked)
            names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
            return {"Credentials": {name: f"{name} {number}" for name in names}}

    monkeypatch.setattr(boto3, "Session", Session)
    roles = [AssumedRole(arn="arn:1", external_id="x"), AssumedRole(arn="arn:2")]
    access = AwsAccess(region="eu-west-1", access_key="a", secret_key="s", session_token="t", assumed_roles=roles)
    client: Any = access.client("ecs")
    assert asked[0][0]["aws_session_token"] == "t"
    assert asked[0][1]["ExternalId"] == "x"
    assert asked[1][0]["aws_access_key_id"] == "AccessKeyId 1"
    assert "ExternalId" not in asked[1][1]
    assert client.keys["aws_session_token"] == "SessionToken 2"
