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
UNWANTED = "DEPLOYMENT_BLOCKED"
"""The reason with which ECS says that this task shall end."""
PROTECTION_MINUTES = 60
"""1 to 2,880 (same page); a crashed task stays protected for no longer than this."""
RENEWAL_SECONDS = 60.0
"""A task that is always busy lets go this often: only a new request shows it that ECS wants to stop it."""
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
        """Change the protection if it differs; let go and ask again when it was held for long.

        Returns:
            False when ECS answers ``UNWANTED``: this task is not wanted any more and must stop polling.
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
            with error:
                answer = _refusal(error)
        # Whatever the agent or the network does: without protection the work is still safe, because the message comes
        # back. So this is logged, and never raised.
        except Exception:
            logger.warning("the task is not protected: ECS gave no answer", exc_info=True)
            return True
        reason = _reason(answer)
        if reason == UNWANTED:
            return False
        if reason is not None:
            logger.warning("the task is not protected", extra={"reason": reason})
        else:
            self._protected, self._since = protected, self._clock()
        return True


def _refusal(error: urllib.error.HTTPError) -> object:
    """What ECS says of its refusal, or at least the status."""
    try:
        answer = json.loads(error.read())
        if isinstance(answer, dict) and _reason(answer) is not None:
            return answer
    # No JSON, JSON that is nested too deep, or a connection that breaks.
    except Exception:
        logger.info("the refusal cannot be read", exc_info=True)
    return {"error": {"Code": f"HTTP {error.code}"}}


def _reason(answer: object) -> str | None:
    """Why ECS did not do what was asked, by its answer; None when it did."""
    if not isinstance(answer, dict):
        return f"an answer of type {type(answer).__name__}"
    for kind, name in (("failure", "Reason"), ("error", "Code")):
        if kind in answer:
            told = answer[kind].get(name) if isinstance(answer[kind], dict) else None
            return str(told) if told else f"an answer with {kind}"
    return None
