"""Each error that speaks to an operator has a code, a message and a way out, whatever raised it."""

import importlib

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ProfileNotFound

from ops.errors import OperatorError
from ops.failures import SPEAKING, described, reason, speaks, told
from ops.local.control import ControlError
from ops.local.emulator import EmulatorError
from ops.local.engines.steps import EngineError
from ops.local.stack import MissingKeyError
from pipeline.errors import ErrorCode, PermanentError
from stack.errors import Refusal, RefusalCode, SettingsRefused, StackRefusal

REFUSAL = Refusal(code=RefusalCode.OUT_OF_RANGE, value="5", rule="1 to 4", way_out="choose 4")
OTHER = Refusal(code=RefusalCode.NAME_INVALID, value="A", rule="lower case", way_out="a")


def answered(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "what AWS says"}}, "Operation")


@pytest.mark.parametrize(
    ("error", "code", "message", "way_out"),
    [
        (OperatorError("A_CODE", "what", "do that"), "A_CODE", "what", "do that"),
        (
            PermanentError(ErrorCode.MESSAGE_INVALID, value="v", rule="r", way_out="w"),
            "MESSAGE_INVALID",
            "v. Rule: r",
            "w",
        ),
        (
            StackRefusal(RefusalCode.OUT_OF_RANGE, value="5", rule="1 to 4", way_out="choose 4"),
            "OUT_OF_RANGE",
            "5. Rule: 1 to 4",
            "choose 4",
        ),
        (
            SettingsRefused([REFUSAL, OTHER]),
            "OUT_OF_RANGE",
            "5. Rule: 1 to 4; A. Rule: lower case",
            "choose 4; a",
        ),
        (ControlError("STACK_BUSY: somebody. Way out: wait."), "STACK_BUSY", "somebody", "wait"),
        (ControlError("no supervisor in /x"), "SUPERVISOR_FAILED", "no supervisor in /x", "receipts local"),
        (EmulatorError("it is lost. Way out: destroy it"), "EMULATOR_FAILED", "it is lost", "destroy it"),
        (EmulatorError("it ended\nwith 1"), "EMULATOR_FAILED", "it ended\nwith 1", "log"),
        (
            EngineError("a:b embed-lock: HANDOVER_NOT_DRAINED: busy. Rule: r. Way out: wait."),
            "UPDATE_FAILED",
            "a:b embed-lock: HANDOVER_NOT_DRAINED: busy. Rule: r",
            "wait",
        ),
        (MissingKeyError("no key. Way out: export it"), "EMBEDDING_CREDENTIALS", "no key", "export it"),
        (answered("ExpiredToken"), "AWS_CREDENTIALS", "what AWS says", "sign in"),
        (NoCredentialsError(), "AWS_CREDENTIALS", "credentials", "sign in"),
        (ProfileNotFound(profile="p"), "AWS_CREDENTIALS", "profile", "AWS_PROFILE"),
        (answered("AccessDeniedException"), "AWS_DENIED", "what AWS says", "--policy operator"),
        (EndpointConnectionError(endpoint_url="http://x"), "AWS_UNREACHABLE", "http://x", "local status"),
        (answered("ThrottlingException"), "AWS_ERROR", "Operation", "try again"),
    ],
)
def test_an_error_is_described_by_its_parts(error, code, message, way_out):
    found = described(error)
    assert found.code == code
    assert message in found.message
    assert way_out in found.way_out
    assert speaks(error)
    assert "Way out: " in told(error)
    assert told(error).startswith(f"{code}: ")


@pytest.mark.parametrize("name", SPEAKING)
def test_every_error_that_is_known_by_name_exists(name):
    module, _, kind = name.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), kind), Exception)


def test_a_bug_does_not_speak():
    for bug in (KeyError("x"), RuntimeError("x"), OSError("x")):
        assert not speaks(bug)
        assert type(bug).__name__ in reason(bug)
