"""ECS task scale-in protection: on at the busy edge, off at the idle edge; nothing where there is no ECS."""

import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Self

logger = logging.getLogger(__name__)

PROTECTION_PATH = "/task-protection/v1/state"
"""Amazon ECS developer guide, task scale-in protection endpoint."""
PROTECTION_MINUTES = 60
"""1 to 2,880 (same page); a crashed task stays protected for no longer than this."""
RENEWAL_SECONDS = 60.0
"""A task that is always busy lets go this often: ECS can tell it only when it asks anew that it is unwanted."""
REQUEST_TIMEOUT_SECONDS = 5


class TaskProtection:
    """Tells ECS when the task is busy.

    Args:
        agent_uri: ``ECS_AGENT_URI`` as ECS sets it; None on a machine without ECS, where every call does nothing.
        clock: seconds that only grow.
    """

    def __init__(self, agent_uri: str | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._agent_uri = agent_uri
        self._clock = clock
        self._protected = False
        self._since = 0.0

    @classmethod
    def from_variables(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read the agent's address, which ECS sets and the stack does not."""
        return cls(variables.get("ECS_AGENT_URI"))

    def set(self, protected: bool) -> bool:
        """Change the protection if it differs; let go and ask anew when it was held for long.

        Returns:
            False when ECS answers ``DEPLOYMENT_BLOCKED``: this task is not wanted any more and must stop polling.
        """
        if self._agent_uri is None:
            return True
        if protected and self._protected and self._clock() - self._since >= RENEWAL_SECONDS:
            self._put(self._agent_uri, False)
        return protected == self._protected or self._put(self._agent_uri, protected)

    def _put(self, agent_uri: str, protected: bool) -> bool:
        body: dict[str, object] = {"ProtectionEnabled": protected}
        if protected:
            body["ExpiresInMinutes"] = PROTECTION_MINUTES
        request = urllib.request.Request(  # noqa: S310 - the scheme is ECS's own http
            agent_uri + PROTECTION_PATH,
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
            self._protected, self._since = protected, self._clock()
        return True
