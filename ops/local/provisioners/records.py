"""The table and the secret: real on the emulator."""

from typing import Any

from botocore.exceptions import ClientError

from ops.local.provisioners import Created, Inputs
from ops.local.provisioners.emulated import Emulated, found_by, is_gone


class Table(Emulated):
    """aws:dynamodb:Table."""

    computed = ("arn", "streamArn", "streamLabel", "name")

    def must_replace(self, changed: list[str]) -> bool:
        """Everything that this stack declares of a table's shape."""
        return bool({"name", "hashKey", "rangeKey", "attributes", "globalSecondaryIndexes"} & set(changed))

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the table, its index and its stream."""
        dynamodb = self._context.client("dynamodb")
        table = inputs.get("name") or name
        indexes = [
            {
                "IndexName": index["name"],
                "KeySchema": _keys(index["hashKey"], index.get("rangeKey")),
                "Projection": {"ProjectionType": index["projectionType"]},
            }
            for index in inputs.get("globalSecondaryIndexes", [])
        ]
        description = dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": item["name"], "AttributeType": item["type"]} for item in inputs["attributes"]
            ],
            KeySchema=_keys(inputs["hashKey"], inputs.get("rangeKey")),
            StreamSpecification={"StreamEnabled": True, "StreamViewType": inputs["streamViewType"]},
            **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
        )["TableDescription"]
        if inputs.get("ttl"):
            dynamodb.update_time_to_live(
                TableName=table,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": inputs["ttl"]["attributeName"]},
            )
        return table, {
            "arn": description["TableArn"],
            "streamArn": description["LatestStreamArn"],
            "streamLabel": description["LatestStreamLabel"],
            "name": table,
        }

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Protection, backups and tags mean nothing here."""
        del identifier, old, new
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Whether it is there."""
        return found_by(lambda: self._context.client("dynamodb").describe_table(TableName=identifier) and inputs)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it."""
        try:
            self._context.client("dynamodb").delete_table(TableName=identifier)
        except ClientError as error:
            if not is_gone(error):
                raise


def _keys(hash_key: str, range_key: str | None) -> list[dict[str, str]]:
    keys = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    return keys + ([{"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else [])


class Secret(Emulated):
    """aws:secretsmanager:Secret; the value never passes here."""

    computed = ("arn", "name")

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the empty secret."""
        answer = self._context.client("secretsmanager").create_secret(Name=inputs.get("name") or name)
        return answer["ARN"], {"arn": answer["ARN"], "name": inputs.get("name") or name}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Its recovery window means nothing here."""
        del identifier, old, new
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Whether it is there; the value is never read."""
        client = self._context.client("secretsmanager")
        return found_by(lambda: client.describe_secret(SecretId=identifier) and inputs)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it at once."""
        try:
            self._context.client("secretsmanager").delete_secret(SecretId=identifier, ForceDeleteWithoutRecovery=True)
        except ClientError as error:
            if not is_gone(error):
                raise
