"""The codes of what the pack finds, and what a finding says. It finds nothing; ``rules.py`` does."""

from dataclasses import dataclass
from enum import Enum

FIFO_BATCH_MAXIMUM = 10
CONCURRENCY_MINIMUM, CONCURRENCY_MAXIMUM = 2, 1000
ADVISED_TIMEOUTS = 6


class Code(Enum):
    """Every refusal, by a code that stays, and the rule behind it."""

    ONE_CONSUMER = "A queue has at most one consumer that is on; two would share its messages at random."
    ONE_CONSUMER_UNPROVEN = (
        "A queue has at most one consumer; whether another one may receive is unknown, or unknown before the update."
    )
    FIFO_BATCHING_WINDOW = "A FIFO queue's mapping has no batching window; AWS refuses it."
    FIFO_BATCH_SIZE = f"A FIFO queue's mapping takes 1 to {FIFO_BATCH_MAXIMUM} messages at once."
    MAXIMUM_CONCURRENCY = f"A mapping's maximum concurrency is {CONCURRENCY_MINIMUM} to {CONCURRENCY_MAXIMUM}."
    POLLERS_OR_CONCURRENCY = "A mapping has provisioned pollers or a maximum concurrency, not both."
    VISIBILITY_BELOW_TIMEOUT = "A message stays hidden at least as long as the function may run."
    VISIBILITY_BELOW_ADVISED = f"A message should stay hidden {ADVISED_TIMEOUTS} times as long as the function may run."
    DEAD_LETTER_KIND = (
        "Dead letters of FIFO go to FIFO, of standard to standard; a mapping's own failures never to FIFO."
    )
    FAILURES_REPORTED = (
        "Without ReportBatchItemFailures a batch succeeds or fails as a whole, whatever list the handler returns."
    )
    UNJUDGED = "What the policy pack could not read it did not judge, and says so."

    @property
    def mandatory(self) -> bool:
        """Does it stop an update, unless the pack's configuration says otherwise?"""
        return self not in (
            Code.ONE_CONSUMER_UNPROVEN,
            Code.VISIBILITY_BELOW_ADVISED,
            Code.FAILURES_REPORTED,
            Code.UNJUDGED,
        )

    @property
    def policy_name(self) -> str:
        """Its name as a Pulumi policy."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class Violation:
    """What is wrong, where, and the way out.

    Attributes:
        urn: the resource that it is shown with; empty for the whole stack.
        about: names that an exception may call it by: those of the queue, or of the resource.
    """

    code: Code
    urn: str
    value: str
    way_out: str
    about: frozenset[str] = frozenset()

    @property
    def message(self) -> str:
        """For a reader; the rule is above it, as the policy's description."""
        return f"{self.code.name}: {self.value}. Way out: {self.way_out}."
