"""Every type of error and of JSON, for the tests of what a boundary does with what it was not written for."""

import http.client
import json

from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from pipeline.errors import ErrorCode, PermanentError, RetryableError


def refusal(code: str, **more: object) -> ClientError:
    """AWS's refusal with a code."""
    return ClientError({"Error": {"Code": code, "Message": "m"}, **more}, "Operation")  # pyrefly: ignore


ERRORS: tuple[Exception, ...] = (
    RetryableError(ErrorCode.SERVICE_UNAVAILABLE, value="v", rule="r", way_out="w"),
    PermanentError(ErrorCode.OBJECT_MISSING, value="v", rule="r", way_out="w"),
    refusal("AccessDenied"),
    refusal("ThrottlingException"),
    refusal("ValidationException"),
    refusal("ExpiredToken"),
    EndpointConnectionError(endpoint_url="http://127.0.0.1"),
    ReadTimeoutError(endpoint_url="http://127.0.0.1"),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
    NoCredentialsError(),
    ParamValidationError(report="bucket"),
    http.client.IncompleteRead(b""),
    http.client.RemoteDisconnected(""),
    OSError(28, "No space left on device"),
    TimeoutError(),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    json.JSONDecodeError("no JSON", "<html>", 0),
    AttributeError("'NoneType' object has no attribute 'get'"),
    KeyError("Messages"),
    IndexError(),
    TypeError(),
    OverflowError(),
    ZeroDivisionError(),
    RecursionError(),
    MemoryError(),
    AssertionError(),
    NotImplementedError(),
    StopIteration(),
    RuntimeError("can't start new thread"),
)

DEEP = "[" * 100_000 + "]" * 100_000

TEXTS: tuple[str, ...] = (
    "",
    " ",
    "null",
    "true",
    "0",
    "-1",
    "NaN",
    "1e999",
    "9" * 5_000,
    '"text"',
    '"\\ud800"',
    '"\\u0000"',
    "[]",
    "[null]",
    "[[]]",
    "[{}]",
    "{}",
    '{"": null}',
    '{"version": null}',
    '{"version": []}',
    '{"version": {}}',
    '{"version": 1}',
    '{"version": "1.0"}',
    '{"version": "1.0", "image_id": []}',
    '{"Records": null}',
    '{"Records": {}}',
    '{"Records": [null]}',
    '{"Records": [{"s3": null}]}',
    '{"Records": [{"s3": {"bucket": {"name": ""}, "object": {"key": ""}}}]}',
    '{"Records": [{"s3": {"bucket": {"name": "a b"}, "object": {"key": "k"}}}]}',
    '{"Records": [{"s3": {"bucket": {"name": "artifacts"}, "object": {"key": "%FF%00+%0A"}}}]}',
    '{"Records": [{"s3": {"bucket": {"name": "artifacts"}, "object": {"key": 7}}}]}',
    '{"collection": "lines", "runs": [{}]}',
    '{"error": null}',
    '{"failure": "text"}',
    "<html><body>busy</body></html>",
    '{"data": [',
    DEEP,
    '{"a": ' * 10_000 + "1" + "}" * 10_000,
)
"""JSON of every type and form, and what is no JSON."""

VALUES: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "text",
    "\ud800",
    [],
    [None],
    [[]],
    {},
    {"S": None},
    {"S": []},
    {"N": "x"},
    {"N": None},
    {"N": "1" * 5_000},
    {"S": DEEP},
    {"M": {}},
    {"NULL": True},
)
"""Values of every type, and DynamoDB's of most."""
