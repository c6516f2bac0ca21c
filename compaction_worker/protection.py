"""ECS task scale-in protection: on at the busy edge, off at the idle edge; nothing where there is no ECS."""

import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Self

logger = logging.getLogger(__name__)

PROTECTION_PATH = "/task-protection/v1/state"
"""Amazon ECS developer guide, task scale-in protection endpoint."""
PROTECTION_MINUTES = 60
"""1 to 2,880 (same page); a crashed task stays protected for no longer than this."""
REQUEST_TIMEOUT_SECONDS = 5


class TaskProtection:
    """Tells ECS when the task is busy.

    Args:
        agent_uri: ``ECS_AGENT_URI`` as ECS sets it; None on a machine without ECS, where every call does nothing.
    """

    def __init__(self, agent_uri: str | None) -> None:
        self._agent_uri = agent_uri
        self._protected = False

    @classmethod
    def from_variables(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read the agent's address, which ECS sets and the stack does not."""
        return cls(variables.get("ECS_AGENT_URI"))

    def set(self, protected: bool) -> bool:
        """Change the protection if it differs.

        Returns:
            False when ECS answers ``DEPLOYMENT_BLOCKED``: this task is not wanted any more and must stop polling.
        """
        if self._agent_uri is None or protected == self._protected:
            return True
        body: dict[str, object] = {"ProtectionEnabled": protected}
        if protected:
            body["ExpiresInMinutes"] = PROTECTION_MINUTES
        request = urllib.request.Request(  # noqa: S310 - the scheme is ECS's own http
            self._agent_uri + PROTECTION_PATH,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_SECONDS) as response:  # noqa: S310 - same
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            answer = json.loads(error.read() or b"{}")
        except (OSError, ValueError) as error:
            # Without protection the work is still safe: the message comes back. So this is said, not raised.
            logger.warning("task protection is unknown", extra={"reason": str(error)})
            return True
        reason = (answer.get("failure") or answer.get("error") or {}).get("Reason") or answer.get("error", {}).get(
            "Code"
        )
        if reason == "DEPLOYMENT_BLOCKED":
            return False
        if reason:
            logger.warning("task protection was refused", extra={"reason": reason})
        else:
            self._protected = protected
        return True
