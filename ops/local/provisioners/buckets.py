"""Buckets, their versioning and their notification: real on the emulator."""

import time
import uuid
from typing import Any

from botocore.exceptions import ClientError

from ops.local.provisioners import Created, Inputs
from ops.local.provisioners.emulated import Emulated, found_by, is_gone

EMPTYING_TRIES, EMPTYING_PAUSE_SECONDS = 20, 0.5
"""Of a bucket to which a process that is ending still writes."""


class Bucket(Emulated):
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
        return found_by(lambda: self._context.client("s3").head_bucket(Bucket=identifier) and inputs)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Empty and remove it; again when something was written in between, for example by a merge that is ending."""
        for attempt in range(EMPTYING_TRIES):
            try:
                self._empty_and_remove(identifier)
            except ClientError as error:
                if is_gone(error):
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


class BucketVersioning(Emulated):
    """aws:s3:BucketVersioning."""

    def create(self, name: str, inputs: Inputs) -> Created:
        """Set the status."""
        status = inputs["versioningConfiguration"]["status"]
        if status in ("Enabled", "Suspended"):
            self._context.client("s3").put_bucket_versioning(
                Bucket=inputs["bucket"], VersioningConfiguration={"Status": status}
            )
        return name, {}


class BucketNotification(Emulated):
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
