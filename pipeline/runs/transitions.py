"""What can happen to one collection of a run, as values, and the conditional write that records it. Pure.

``repository.py`` reads the run, sends the write and tries again when the run moved in between. The states and their
edges are in ``pipeline/contracts/run.py``; here each edge has the facts that are recorded with it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from pipeline.contracts.identifiers import COLLECTIONS, CollectionName
from pipeline.contracts.run import CollectionProgress, CompactionRun, RunState, unfinished_state
from pipeline.runs.items import attribute

ERROR_LIMIT = 1_024
"""Characters of a recorded error; the whole text is in the log."""

NOT_FINISHED = frozenset({RunState.PENDING, RunState.MERGED})


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a transition does to the fields of a collection; a field that is None is removed, one not named stays."""

    state: RunState
    fields: dict[str, int | str | None]


class Transition(Protocol):
    """Something that happened to one collection of a run."""

    def change(self, progress: CollectionProgress) -> Change | None:
        """What it changes; None when it cannot move a collection in that state."""
        ...


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The rows are in a working copy, perhaps once more. A failure that was recorded before is cleared.

    Attributes:
        rows: read back from the working copy.
        superseded_by: receipt version of the newer operation because of which nothing was written; None when none was.
    """

    rows: int
    superseded_by: int | None = None

    def change(self, progress: CollectionProgress) -> Change | None:
        """See ``Transition``."""
        if progress.state not in NOT_FINISHED:
            return None
        return Change(
            state=RunState.MERGED,
            fields={"merged_count": self.rows, "superseded_by": self.superseded_by, "error": None},
        )


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A published version holds the operation.

    Attributes:
        version: its name.
    """

    version: str

    def change(self, progress: CollectionProgress) -> Change | None:
        """See ``Transition``."""
        if progress.state is not RunState.MERGED:
            return None
        return Change(state=RunState.COMPLETED, fields={"snapshot_version": self.version, "error": None})


@dataclass(frozen=True, kw_only=True)
class AttemptFailed:
    """A merge failed for this run alone: an attempt is counted, and the collection stays where it is or is given up.

    Attributes:
        before: where the collection stood when the merge took the run.
        error: why, code first.
        gives_up: whether the run is left until an operator drives it again.
    """

    before: RunState
    error: str
    gives_up: bool

    def change(self, progress: CollectionProgress) -> Change | None:
        """See ``Transition``."""
        if progress.state is not self.before or self.before not in NOT_FINISHED:
            return None
        return Change(
            state=RunState.FAILED if self.gives_up else self.before,
            fields={"error": self.error[:ERROR_LIMIT], "attempts": progress.attempts + 1},
        )


@dataclass(frozen=True, kw_only=True)
class Reopened:
    """An operator drives a failed collection again; its attempts count from the beginning."""

    def change(self, progress: CollectionProgress) -> Change | None:
        """See ``Transition``."""
        if progress.state is not RunState.FAILED:
            return None
        return Change(state=RunState.PENDING, fields={"attempts": 0, "error": None})


def conditional_update(
    run: CompactionRun, collection: CollectionName, transition: Transition, moment: datetime
) -> dict[str, Any] | None:
    """The arguments of DynamoDB's UpdateItem, without table and key; None when the collection cannot be moved so.

    The index attribute ``unfinished_state`` depends on both collections, hence the condition on both states.

    Args:
        run: as it was read.
        collection: whose state moves.
        transition: what happened.
        moment: now.
    """
    change = transition.change(run.progress(collection))
    if change is None:
        return None
    states = {name: run.progress(name).state for name in COLLECTIONS} | {collection: change.state}
    unfinished = unfinished_state(states["lines"], states["words"])
    values: dict[str, int | str | None] = {
        f"{collection}_state": change.state.value,
        "updated_at": moment.astimezone(UTC).isoformat(),
        "unfinished_state": None if unfinished is None else unfinished.value,
    } | {f"{collection}_{name}": value for name, value in change.fields.items()}
    kept = {name: value for name, value in values.items() if value is not None}
    removed = sorted(values.keys() - kept.keys())
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in kept)
    if removed:
        expression += " REMOVE " + ", ".join(f"#{name}" for name in removed)
    return {
        "UpdateExpression": expression,
        "ConditionExpression": "#lines_state = :lines_was AND #words_state = :words_was",
        "ExpressionAttributeNames": {f"#{name}": name for name in (*values, "lines_state", "words_state")},
        "ExpressionAttributeValues": {f":{name}": attribute(value) for name, value in kept.items()}
        | {":lines_was": attribute(run.lines.state.value), ":words_was": attribute(run.words.state.value)},
    }
