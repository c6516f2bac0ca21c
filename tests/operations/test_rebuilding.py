"""``receipts rebuild``: what the merge function's error becomes. A failure hides the object that is missing."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from ops.errors import OperatorError
from ops.rebuilding import rebuild

AGAIN = "nothing was published; when the collection is being merged, try again"


@pytest.mark.parametrize("before", ["", "Proxy target returned HTTP 500: "], ids=["Lambda", "the emulator"])
@pytest.mark.parametrize(
    ("message", "code", "told", "way_out"),
    [
        (
            "OBJECT_MISSING: s3://b/k does not exist. Rule: it exists. Way out: upload it again.",
            "OBJECT_MISSING",
            "lines: s3://b/k does not exist. Rule: it exists",
            "nothing was published; upload it again",
        ),
        (
            "LEASE_HELD: lines. Rule: one merge. Way out: the message is delivered again; it expires.",
            "LEASE_HELD",
            "lines: lines. Rule: one merge",
            AGAIN,
        ),
        ("Task timed out after 900.00 seconds", "REBUILD_FAILED", "lines: Task timed out after 900.00 seconds", AGAIN),
    ],
)
def test_an_error_of_the_merge_function_is_told_with_its_own_code_and_way_out(before, message, code, told, way_out):
    payload = json.dumps({"errorMessage": before + message, "errorType": "E", "stackTrace": ["..."]}).encode()
    answer = {"FunctionError": "Unhandled", "Payload": io.BytesIO(payload)}
    functions = SimpleNamespace(invoke=lambda **_: answer)
    target: Any = SimpleNamespace(client=lambda *_, **__: functions, outputs={"mergeFunctionName": "merge"})
    with pytest.raises(OperatorError) as caught:
        rebuild(target, "lines", from_deltas=True)
    error = caught.value
    assert (error.code, error.message, error.way_out) == (code, told, way_out)
