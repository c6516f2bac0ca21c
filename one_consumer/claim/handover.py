"""The hook that makes a switch break before make: it runs inside the update, and only when the lock changes hands.

What it waits for is decided and looked up in ``one_consumer.live``. It imports AWS's clients when it runs: most updates
change nothing that it waits for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi

from one_consumer.live.access import AwsAccess
from one_consumer.live.observation import Identity


@dataclass(frozen=True, kw_only=True)
class Handover:
    """How a queue goes from one consumer to the next.

    Attributes:
        after: what turns every other consumer off.
        drained: run before the lock changes; its failure fails the update. None for a queue of one consumer for ever.
    """

    after: Sequence[pulumi.Resource] = ()
    drained: pulumi.ResourceHook | None = None


AT_ONCE: Final = Handover()
"""Nothing to wait for: the queue never had another consumer."""


def drained_hook(
    name: str,
    access: AwsAccess,
    *,
    winner: Identity | None,
    timeout_seconds: float = 900,
    poll_seconds: float = 5,
) -> pulumi.ResourceHook:
    """Before a queue's policy changes: wait until everybody else is off. For ``before_create`` and ``before_update``.

    The hook is bound to the ``aws.sqs.QueuePolicy``, which gives it the queue.

    Args:
        name: of the hook, once in a program.
        access: how AWS is reached.
        winner: who may receive next, by its name on AWS; None when nobody may.
        timeout_seconds: then the update fails, with no consumer.
        poll_seconds: between two looks.
    """

    async def wait(args: pulumi.ResourceHookArgs) -> None:
        from one_consumer.live.drain import Patience, wait_until_drained  # noqa: PLC0415 - when it runs
        from one_consumer.live.observer import ConsumerObserver  # noqa: PLC0415 - when it runs

        url = (args.new_inputs or {})["queueUrl"]
        if isinstance(url, pulumi.Output):  # It was made of a secret.
            url = await url.future()
        await wait_until_drained(
            ConsumerObserver(access.client, emulated=access.endpoint is not None),
            url,
            winner=winner,
            patience=Patience(timeout_seconds=timeout_seconds, poll_seconds=poll_seconds),
        )

    return pulumi.ResourceHook(name, wait)
