"""Which errors are meant for the operator, and are shown in a line; any other is a bug and is shown with its place.

Errors are known by name: an error can only be raised by a module that is imported, so none is imported here for asking.
"""

import re
import traceback
from dataclasses import dataclass
from typing import Any

SPEAKING = (
    "ops.errors.OperatorError",
    "pipeline.errors.PipelineError",
    "one_consumer.live.errors.WaitError",
    "one_consumer.claim.refusals.ClaimRefused",
    "stack.errors.StackRefusal",
    "stack.errors.SettingsRefused",
    "ops.local.engines.steps.EngineError",
    "ops.local.emulator.EmulatorError",
    "ops.local.stack.MissingKeyError",
    "ops.local.control.ControlError",
    "botocore.exceptions.ClientError",
    "botocore.exceptions.BotoCoreError",
)
"""What the operator can mend, or must hear of: their own words are enough."""
CODED = re.compile(r"(?P<code>[A-Z]{3,}(?:_[A-Z]+)*): (?P<message>.*)", re.DOTALL)
WAY_OUT = re.compile(r"(?P<message>.*?)\.? Way out: (?P<way_out>.*?)\.?", re.DOTALL)
UNCODED = {
    "EngineError": ("UPDATE_FAILED", "mend what it names, then `receipts local up` goes on"),
    "EmulatorError": ("EMULATOR_FAILED", "look at the log that it names, then `receipts local up`"),
    "MissingKeyError": ("EMBEDDING_CREDENTIALS", "export OPENAI_API_KEY in this shell"),
    "ControlError": ("SUPERVISOR_FAILED", "`receipts local status` shows what runs; `receipts local up` starts it"),
}
"""Class to the code and the way out of an error of the stack on this machine whose text has none."""
NOT_SIGNED_IN = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "InvalidAccessKeyId"),
        *("UnrecognizedClientException", "SignatureDoesNotMatch", "TokenRefreshRequired"),
    }
)
"""Codes with which AWS refuses credentials, whichever service is asked."""
NO_CREDENTIALS = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "TokenRetrievalError",
    }
    | {"SSOTokenLoadError", "UnauthorizedSSOTokenError", "NoAuthTokenError"}
)
"""Botocore's errors of a shell without usable credentials."""
UNREACHABLE = frozenset({"HTTPClientError", "ConnectionError"})
"""Base classes of botocore's errors of a service that does not answer."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """An error for a program to read; what ``--json`` writes under ``error``.

    Attributes:
        code: stable.
        message: the value and the rule that it broke.
        way_out: what to do.
    """

    code: str
    message: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}. Way out: {self.way_out}."


def speaks(error: BaseException) -> bool:
    """Whether an error is for the operator; a bug is not."""
    return any(f"{kind.__module__}.{kind.__qualname__}" in SPEAKING for kind in type(error).__mro__)


def may_pass(error: BaseException) -> bool:
    """Whether the next look at a stack may succeed after this error; not after a bug, nor when the stack is down."""
    return (isinstance(error, OSError) or speaks(error)) and getattr(error, "code", None) != "STACK_NOT_RUNNING"


def reason(error: Exception) -> str:
    """One error as a reason."""
    if speaks(error):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def told(error: Exception) -> str:
    """An error of ``SPEAKING`` as it is written for people: with a code and a way out, also where its text has none."""
    names = {kind.__name__ for kind in type(error).__mro__}
    own = names & {"OperatorError", "PipelineError", "StackRefusal", "SettingsRefused"}
    return str(error) if own or not speaks(error) else str(described(error))


def described(error: Exception) -> Described:
    """The code, the message and the way out of an error that speaks for itself.

    Args:
        error: one of ``SPEAKING``, or a subclass.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if "OperatorError" in names:
        return _of(error)
    if names & {"PipelineError", "StackRefusal"}:
        return _of_rule(getattr(error, "refusal", error))
    if "SettingsRefused" in names:
        refusals = [_of_rule(refusal) for refusal in error.refusals]  # type: ignore[attr-defined]
        return Described(
            code=refusals[0].code,
            message="; ".join(refusal.message for refusal in refusals),
            way_out="; ".join(refusal.way_out for refusal in refusals),
        )
    if names & {"ClientError", "BotoCoreError"}:
        return _of_aws(error, names)
    return _of_text(str(error), *UNCODED[(names & UNCODED.keys()).pop()])


def _of(error: Any) -> Described:
    return Described(code=str(error.code), message=error.message, way_out=error.way_out)


def _of_rule(error: Any) -> Described:
    return Described(code=str(error.code), message=f"{error.value}. Rule: {error.rule}", way_out=error.way_out)


def _of_text(text: str, code: str, way_out: str) -> Described:
    """The parts of an error that is written as the others are: ``CODE: message. Way out: ...``."""
    coded = CODED.fullmatch(text)
    message = coded["message"] if coded else text
    ended = WAY_OUT.fullmatch(message)
    return Described(
        code=coded["code"] if coded else code,
        message=(ended["message"] if ended else message).rstrip("."),
        way_out=ended["way_out"] if ended else way_out,
    )


def _of_aws(error: Exception, names: set[str]) -> Described:
    answered: Any = getattr(error, "response", {})
    code = str(answered.get("Error", {}).get("Code", ""))
    if code in NOT_SIGNED_IN or names & NO_CREDENTIALS:
        return Described(
            code="AWS_CREDENTIALS",
            message=f"AWS does not take this shell's credentials: {error}",
            way_out="sign in again, or set AWS_PROFILE; `receipts doctor` shows who this shell is",
        )
    if "AccessDenied" in code or code in ("UnauthorizedOperation", "NotAuthorized"):
        return Described(
            code="AWS_DENIED",
            message=str(error),
            way_out="`receipts preflight --policy operator` writes the policy that these commands need",
        )
    if names & UNREACHABLE:
        return Described(
            code="AWS_UNREACHABLE",
            message=str(error).rstrip("."),
            way_out="check the network and the region; on one machine `receipts local status` shows what runs",
        )
    return Described(
        code="AWS_ERROR", message=str(error).rstrip("."), way_out="try again; the message names the call and its reason"
    )
