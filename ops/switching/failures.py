"""Why a step of a switch failed, in words: whatever it raised, the way back must still be asked for."""

import traceback

from botocore.exceptions import BotoCoreError, ClientError

from ops.local.control import ControlError
from ops.local.emulator import EmulatorError
from ops.local.engine import EngineError
from ops.local.stack import MissingKeyError
from ops.target import OperatorError
from pipeline.errors import PipelineError
from stack.errors import SettingsRefused, StackRefusal

SPEAKING = (
    OperatorError,
    PipelineError,
    StackRefusal,
    SettingsRefused,
    EngineError,
    EmulatorError,
    MissingKeyError,
    ControlError,
    ClientError,
    BotoCoreError,
)
"""Their own words are enough; of anything else, which is a bug, the reader must learn where it came from."""


def reason(error: Exception) -> str:
    """One error as a reason."""
    if isinstance(error, SPEAKING):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
