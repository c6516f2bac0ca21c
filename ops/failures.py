"""Which errors speak for themselves, to be told in a line; anything else is a bug and says where it came from."""

import traceback

from botocore.exceptions import BotoCoreError, ClientError

from one_consumer.claim.refusals import ClaimRefused
from one_consumer.live.errors import WaitError
from ops.local.control import ControlError
from ops.local.emulator import EmulatorError
from ops.local.engines.steps import EngineError
from ops.local.stack import MissingKeyError
from ops.target import OperatorError
from pipeline.errors import PipelineError
from stack.errors import SettingsRefused, StackRefusal

SPEAKING = (
    OperatorError,
    PipelineError,
    WaitError,
    ClaimRefused,
    StackRefusal,
    SettingsRefused,
    EngineError,
    EmulatorError,
    MissingKeyError,
    ControlError,
    ClientError,
    BotoCoreError,
)
"""What the operator can mend, or must hear of: their own words are enough."""


def reason(error: Exception) -> str:
    """One error as a reason."""
    if isinstance(error, SPEAKING):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
