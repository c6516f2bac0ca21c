"""How a hook reaches AWS: as Pulumi's AWS provider is configured to. Clients are built when asked for.

In a program: ``access_from(pulumi.Config("aws").get, region)``.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from one_consumer.live.clients import AwsClient, connect

SESSION_NAME = "one-consumer-handover"


@dataclass(frozen=True, kw_only=True)
class AssumedRole:
    """A role to take, with the external id that its owner asks for."""

    arn: str
    external_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class AwsAccess:
    """The provider's settings that matter to a client; None leaves each to boto3's own search.

    Attributes:
        endpoint: of an emulator; every service is there.
        assumed_roles: taken one after the other.
    """

    region: str
    profile: str | None = None
    endpoint: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    assumed_roles: Sequence[AssumedRole] = ()

    def client(self, service: str) -> AwsClient:
        """A boto3 client."""
        import boto3  # noqa: PLC0415 - only a hook that runs needs it

        options: dict[str, Any] = {"region_name": self.region, "endpoint_url": self.endpoint}
        keys: dict[str, Any] = {
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "aws_session_token": self.session_token,
        }
        session = boto3.Session(profile_name=self.profile)
        for role in self.assumed_roles:
            asked = {} if role.external_id is None else {"ExternalId": role.external_id}
            sts = connect("sts", session=session, **options, **keys)
            taken = sts.assume_role(RoleArn=role.arn, RoleSessionName=SESSION_NAME, **asked)["Credentials"]
            keys = {
                "aws_access_key_id": taken["AccessKeyId"],
                "aws_secret_access_key": taken["SecretAccessKey"],
                "aws_session_token": taken["SessionToken"],
            }
        return connect(service, session=session, **options, **keys)

    def queue_url(self, name: str) -> str:
        """The address of a queue of this account and region."""
        return self.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]


def access_from(get: Callable[[str], Any], region: str) -> AwsAccess:
    """How the AWS provider is configured to reach AWS.

    Args:
        get: the value of a key of the namespace ``aws``; objects may be JSON, what is not set is None.
        region: of the stack.
    """

    def text(key: str) -> str | None:
        # A secret is an object where a file is read.
        value = get(key)
        return value if isinstance(value, str) else None

    roles = decoded(get("assumeRoles")) or [decoded(get("assumeRole")) or {}]
    return AwsAccess(
        region=region,
        profile=text("profile"),
        endpoint=endpoint_of(get),
        access_key=text("accessKey"),
        secret_key=text("secretKey"),
        session_token=text("token"),
        assumed_roles=[
            AssumedRole(arn=role["roleArn"], external_id=role.get("externalId"))
            for role in roles
            if role.get("roleArn")
        ],
    )


def endpoint_of(get: Callable[[str], Any]) -> str | None:
    """The address of an emulator that the provider is configured to use; None on AWS. ``get`` as in ``access_from``."""
    endpoints = {name: url for block in decoded(get("endpoints")) or [] for name, url in block.items()}
    return endpoints.get("sqs")


def decoded(value: Any) -> Any:
    """What the value of a key of Pulumi's configuration means; the command line keeps objects as JSON."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
