"""Queues and their policies: real on the emulator."""

import json
from typing import Any

from botocore.exceptions import ClientError

from ops.local.provisioners import Created, Inputs
from ops.local.provisioners.context import arn
from ops.local.provisioners.emulated import Emulated, document, found_by, is_gone, same_document


class Queue(Emulated):
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

        return found_by(look)

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it with its messages."""
        try:
            self._context.client("sqs").delete_queue(QueueUrl=identifier)
        except ClientError as error:
            if not is_gone(error):
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


class QueuePolicy(Emulated):
    """aws:sqs:QueuePolicy; the emulator obeys it where it enforces IAM at all."""

    name_input = ""

    def must_replace(self, changed: list[str]) -> bool:
        """It belongs to its queue."""
        return "queueUrl" in changed

    def create(self, name: str, inputs: Inputs) -> Created:
        """Set the policy."""
        self._set(inputs["queueUrl"], document(inputs["policy"]))
        return inputs["queueUrl"], {}

    def read(self, identifier: str, inputs: Inputs) -> Inputs | None:
        """The queue's policy."""

        def look() -> Inputs:
            answer = self._context.client("sqs").get_queue_attributes(QueueUrl=identifier, AttributeNames=["Policy"])
            policy = answer.get("Attributes", {}).get("Policy")
            return {**inputs, "policy": same_document(inputs["policy"], policy)} if policy else {}

        return found_by(look) or None

    def delete(self, identifier: str, inputs: Inputs) -> None:
        """Remove it; with its queue it is gone already."""
        try:
            self._set(identifier, "")
        except ClientError as error:
            if not is_gone(error):
                raise

    def _set(self, queue_url: str, policy: str) -> None:
        self._context.client("sqs").set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})


def _plain(attribute: str) -> Any:
    """An attribute's value, whichever way its JSON is written."""
    try:
        return json.loads(attribute)
    except ValueError:
        return attribute
