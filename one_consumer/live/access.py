"""How a hook reaches AWS: as Pulumi's AWS provider is configured to. Clients are built when asked for."""

from collections.abc import Sequence
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
