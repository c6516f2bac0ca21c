"""Buckets, queues, the table, secrets and roles: real on the emulator.

Longer than most modules: ten resource types, each a few lines, that change together.
"""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from ops.local.provisioners import Created, InPlace, Inputs
from ops.local.provisioners.context import Context, arn

EMPTYING_TRIES, EMPTYING_PAUSE_SECONDS = 20, 0.5
"""Of a bucket to which a process that is ending still writes."""


def _gone(error: ClientError) -> bool:
    code = error.response["Error"]["Code"]
    return any(word in code for word in ("NotFound", "NoSuch", "NonExistent", "404"))


def _found(look: Callable[[], Inputs]) -> Inputs | None:
    """What ``look`` finds; None when what it looks at is gone."""
    try:
        return look()
    except ClientError as error:
        if _gone(error):
            return None
        raise


def _same_document(known: Any, found: str) -> Any:
    """A policy as it is known while it says the same, else as it was found."""
    return known if json.loads(_document(known)) == json.loads(found or "null") else found


class _Emulated(InPlace):
    def __init__(self, context: Context) -> None:
        self._context = context


class Bucket(_Emulated):
    """aws:s3:Bucket."""

    computed = ("arn", "bucket")
    name_input = "bucket"

    def must_replace(self, changed: list[str]) -> bool:
        """The name is for ever."""
        return bool({"bucket", "bucketPrefix"} & set(changed))

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the bucket; with a prefix, under a name that no other bucket has."""
        bucket = inputs.get("bucket") or f"{inputs.get('bucketPrefix') or name + '-'}{uuid.uuid4().hex[:12]}"
        self._context.client("s3").create_bucket(Bucket=bucket)
        return bucket, {"arn": f"arn:aws:s3:::{bucket}", "bucket": bucket}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Tags and forceDestroy mean nothing here."""
        del identifier, old, new
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Whether it is there."""
        return _found(lambda: self._context.client("s3").head_bucket(Bucket=identifier) and inputs)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Empty and remove it; again when something was written in between, for example by a merge that is ending."""
        for attempt in range(EMPTYING_TRIES):
            try:
                self._empty_and_remove(identifier)
            except ClientError as error:
                if _gone(error):
                    return
                if error.response["Error"]["Code"] != "BucketNotEmpty" or attempt + 1 == EMPTYING_TRIES:
                    raise
                time.sleep(EMPTYING_PAUSE_SECONDS)
            else:
                return

    def _empty_and_remove(self, identifier: str) -> None:
        s3 = self._context.client("s3")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=identifier):
            for kind in ("Versions", "DeleteMarkers"):
                for item in page.get(kind, []):
                    s3.delete_object(Bucket=identifier, Key=item["Key"], VersionId=item["VersionId"])
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=identifier):
            for item in page.get("Contents", []):
                s3.delete_object(Bucket=identifier, Key=item["Key"])
        s3.delete_bucket(Bucket=identifier)


class BucketVersioning(_Emulated):
    """aws:s3:BucketVersioning."""

    def create(self, name: str, inputs: Inputs) -> Created:
        """Set the status."""
        status = inputs["versioningConfiguration"]["status"]
        if status in ("Enabled", "Suspended"):
            self._context.client("s3").put_bucket_versioning(
                Bucket=inputs["bucket"], VersioningConfiguration={"Status": status}
            )
        return name, {}


class BucketNotification(_Emulated):
    """aws:s3:BucketNotification, to queues."""

    def create(self, name: str, inputs: Inputs) -> Created:
        """Announce objects on queues."""
        configurations = []
        for queue in inputs.get("queues", []):
            rules = [
                {"Name": kind, "Value": queue[key]}
                for kind, key in (("prefix", "filterPrefix"), ("suffix", "filterSuffix"))
                if queue.get(key)
            ]
            configurations.append(
                {"QueueArn": queue["queueArn"], "Events": queue["events"], "Filter": {"Key": {"FilterRules": rules}}}
            )
        self._context.client("s3").put_bucket_notification_configuration(
            Bucket=inputs["bucket"], NotificationConfiguration={"QueueConfigurations": configurations}
        )
        return name, {}


class Queue(_Emulated):
    """aws:sqs:Queue."""

    computed = ("arn", "url", "name")
    ATTRIBUTES = {  # noqa: RUF012 - a constant table
        "visibilityTimeoutSeconds": "VisibilityTimeout",
        "messageRetentionSeconds": "MessageRetentionPeriod",
        "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
        "redrivePolicy": "RedrivePolicy",
        "deduplicationScope": "DeduplicationScope",
        "fifoThroughputLimit": "FifoThroughputLimit",
        "fifoQueue": "FifoQueue",
        "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    }

    def must_replace(self, changed: list[str]) -> bool:
        """The name and the kind are for ever."""
        return bool({"name", "fifoQueue"} & set(changed))

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the queue."""
        queue_name = inputs.get("name") or name
        url = self._context.client("sqs").create_queue(QueueName=queue_name, Attributes=self._attributes(inputs))[
            "QueueUrl"
        ]
        return url, {"url": url, "arn": arn("sqs", queue_name), "name": queue_name}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Set the attributes."""
        del old
        attributes = {key: value for key, value in self._attributes(new).items() if key != "FifoQueue"}
        self._context.client("sqs").set_queue_attributes(QueueUrl=identifier, Attributes=attributes)
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Its attributes, of those that are declared."""

        def look() -> Inputs:
            answer = self._context.client("sqs").get_queue_attributes(QueueUrl=identifier, AttributeNames=["All"])
            wanted, found = self._attributes(inputs), answer["Attributes"]
            names = {attribute: key for key, attribute in self.ATTRIBUTES.items()}
            differing = {
                names[attribute]: found[attribute]
                for attribute, value in wanted.items()
                if attribute in found and _plain(found[attribute]) != _plain(value)
            }
            return {**inputs, **differing}

        return _found(look)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it with its messages."""
        try:
            self._context.client("sqs").delete_queue(QueueUrl=identifier)
        except ClientError as error:
            if not _gone(error):
                raise

    def _attributes(self, inputs: Inputs) -> dict[str, str]:
        def text(value: Any) -> str:
            if isinstance(value, bool):
                return str(value).lower()
            return str(int(value)) if isinstance(value, float) else str(value)

        return {
            attribute: text(inputs[key])
            for key, attribute in self.ATTRIBUTES.items()
            if inputs.get(key) not in (None, "", False)
        }


class QueuePolicy(_Emulated):
    """aws:sqs:QueuePolicy; the emulator obeys it where it enforces IAM at all."""

    name_input = ""

    def must_replace(self, changed: list[str]) -> bool:
        """It belongs to its queue."""
        return "queueUrl" in changed

    def create(self, name: str, inputs: Inputs) -> Created:
        """Set the policy."""
        self._set(inputs["queueUrl"], _document(inputs["policy"]))
        return inputs["queueUrl"], {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """The queue's policy."""

        def look() -> Inputs:
            answer = self._context.client("sqs").get_queue_attributes(QueueUrl=identifier, AttributeNames=["Policy"])
            policy = answer.get("Attributes", {}).get("Policy")
            return {**inputs, "policy": _same_document(inputs["policy"], policy)} if policy else {}

        return _found(look) or None

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it; with its queue it is gone already."""
        try:
            self._set(identifier, "")
        except ClientError as error:
            if not _gone(error):
                raise

    def _set(self, queue_url: str, policy: str) -> None:
        self._context.client("sqs").set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})


class Table(_Emulated):
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
        return _found(lambda: self._context.client("dynamodb").describe_table(TableName=identifier) and inputs)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it."""
        try:
            self._context.client("dynamodb").delete_table(TableName=identifier)
        except ClientError as error:
            if not _gone(error):
                raise


def _keys(hash_key: str, range_key: str | None) -> list[dict[str, str]]:
    keys = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    return keys + ([{"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else [])


class Secret(_Emulated):
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
        return _found(lambda: client.describe_secret(SecretId=identifier) and inputs)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it at once."""
        try:
            self._context.client("secretsmanager").delete_secret(SecretId=identifier, ForceDeleteWithoutRecovery=True)
        except ClientError as error:
            if not _gone(error):
                raise


class Role(_Emulated):
    """aws:iam:Role."""

    computed = ("arn", "name")

    def must_replace(self, changed: list[str]) -> bool:
        """The name is for ever."""
        return "name" in changed

    def create(self, name: str, inputs: Inputs) -> Created:
        """Make the role."""
        role = inputs.get("name") or name
        answer = self._context.client("iam").create_role(
            RoleName=role, AssumeRolePolicyDocument=_document(inputs["assumeRolePolicy"])
        )
        return role, {"arn": answer["Role"]["Arn"], "name": role}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Set who may assume it."""
        del old
        self._context.client("iam").update_assume_role_policy(
            RoleName=identifier, PolicyDocument=_document(new["assumeRolePolicy"])
        )
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """Who may assume it."""

        def look() -> Inputs:
            found = self._context.client("iam").get_role(RoleName=identifier)["Role"]["AssumeRolePolicyDocument"]
            return {**inputs, "assumeRolePolicy": _same_document(inputs["assumeRolePolicy"], _document(found))}

        return _found(look)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it."""
        try:
            self._context.client("iam").delete_role(RoleName=identifier)
        except ClientError as error:
            if not _gone(error):
                raise


class RolePolicy(_Emulated):
    """aws:iam:RolePolicy."""

    computed = ("name",)

    def must_replace(self, changed: list[str]) -> bool:
        """It belongs to its role, under its name."""
        return bool({"name", "role"} & set(changed))

    def create(self, name: str, inputs: Inputs) -> Created:
        """Write the policy."""
        policy = inputs.get("name") or name
        self._context.client("iam").put_role_policy(
            RoleName=inputs["role"], PolicyName=policy, PolicyDocument=_document(inputs["policy"])
        )
        return f"{inputs['role']}:{policy}", {"name": policy}

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Write it again under its name."""
        del old
        self.create(identifier.split(":", 1)[1], new)
        return {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """What it allows."""
        role, policy = identifier.split(":", 1)

        def look() -> Inputs:
            found = self._context.client("iam").get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            return {**inputs, "policy": _same_document(inputs["policy"], _document(found))}

        return _found(look)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it."""
        role, policy = identifier.split(":", 1)
        try:
            self._context.client("iam").delete_role_policy(RoleName=role, PolicyName=policy)
        except ClientError as error:
            if not _gone(error):
                raise


def _plain(attribute: str) -> Any:
    """An attribute's value, whichever way its JSON is written."""
    try:
        return json.loads(attribute)
    except ValueError:
        return attribute


def _document(policy: Any) -> str:
    return policy if isinstance(policy, str) else json.dumps(policy)
