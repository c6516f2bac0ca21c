"""Building a collection again: asks the merge function, which alone may write collections, and waits for its answer."""

import json
import re
from dataclasses import dataclass

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ops.target import OperatorError, Target
from pipeline.contracts.identifiers import CollectionName

LONGEST_SECONDS = 900
"""A Lambda function's longest run, which the answer is waited for."""
REBUILD_SOURCE = "receipts.rebuild"
EMULATED = re.compile(r"^Proxy target returned HTTP \d+: ")
"""What the emulator of the local stack puts before what a function's error says."""


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """The version that was published.

    Attributes:
        rows: lines or words in it.
        texts: distinct texts in it.
    """

    version: str
    rows: int
    texts: int


def rebuild(target: Target, collection: CollectionName, *, from_deltas: bool) -> Rebuilt:
    """Build a collection again and publish it.

    Args:
        target: the stack.
        collection: which.
        from_deltas: from the deltas of all runs, else from the current version.

    Raises:
        OperatorError: the merge function's own code, such as LEASE_HELD or OBJECT_MISSING; REBUILD_FAILED when it was
            not heard of.
    """
    # Not tried again: a second call would wait for the lease of the first.
    options = Config(read_timeout=LONGEST_SECONDS + 30, retries={"max_attempts": 0})
    try:
        answer = target.client("lambda", config=options).invoke(
            FunctionName=target.outputs["mergeFunctionName"],
            Payload=json.dumps(
                {"source": REBUILD_SOURCE, "collection": collection, "from_deltas": from_deltas}
            ).encode(),
        )
        content = json.loads(answer["Payload"].read())
    except (ClientError, BotoCoreError, ValueError) as error:
        raise OperatorError(
            "REBUILD_FAILED",
            f"{collection}: {error}",
            "look at the merge function's log and at `receipts status`; what was published stays published",
        ) from error
    if "FunctionError" in answer or "version" not in content:
        raise _failure(collection, str(content.get("errorMessage", content)))
    return Rebuilt(version=content["version"], rows=content["count"], texts=content["texts"])


def _failure(collection: CollectionName, message: str) -> OperatorError:
    message = EMULATED.sub("", message)
    code, separator, reason = message.partition(": ")
    if not separator or not code.replace("_", "").isupper():
        code, reason = "REBUILD_FAILED", message
    reason, _, way_out = reason.partition(". Way out: ")
    # A message is delivered again by itself, a command is not.
    if not way_out or "delivered again" in way_out:
        way_out = "when the collection is being merged, try again"
    return OperatorError(code, f"{collection}: {reason}", f"nothing was published; {way_out.rstrip('.')}")
