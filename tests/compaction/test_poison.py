"""A run over which a merge breaks takes no neighbour with it: it is quarantined, and everything else is published."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from compaction_handler import merging
from pipeline.collections.chroma import ChromaIndex
from pipeline.collections.ledger import Ledger
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import RowTable, parse_identifier
from pipeline.contracts.run import RunState
from pipeline.errors import RetryableError
from tests.compaction.world import ids, world

__all__ = ["world"]

POISON, NEIGHBOURS, DELIVERIES = 7, {"the index": 60}, 10


class StrangeError(Exception):
    """Something that nobody has thought of."""


def key_of(number: int) -> ReceiptKey:
    return ReceiptKey(f"00000000-0000-0000-0000-{number:012x}", 1)


def breaks(original: Callable[..., Any], is_poison: Callable[..., bool]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        if is_poison(*arguments):
            raise StrangeError("no neighbour is to blame")
        return original(*arguments)

    return call


def among_keys(_: Any, keys: Any) -> bool:
    return key_of(POISON) in keys


def among_operations(_: Any, operations: Any, *__: Any) -> bool:
    return key_of(POISON) in operations


def deliver(merge: Callable[[], object]) -> None:
    """Let a message come back, as SQS does when a merge fails."""
    with suppress(RetryableError):
        merge()


PLACES: dict[str, tuple[Any, str, Callable[..., bool]]] = {
    "what the ledger holds": (Ledger, "entries", among_keys),
    "which deltas are needed": (merging, "deltas_needed", among_operations),
    "the plan": (merging, "make_plan", among_operations),
    "the rows": (RowTable, "replace", lambda _, key, *__: key == key_of(POISON)),
    "the ledger": (Ledger, "write", lambda _, states, __: key_of(POISON) in states),
    "the index": (ChromaIndex, "add", lambda _, texts, __: "poison" in texts),
    "the letters": (RowTable, "index_letters", lambda table, _: "poison" in table.texts()),
}


@pytest.mark.parametrize("place", PLACES)
def test_wherever_a_merge_breaks_over_one_run_its_neighbours_are_published(world, monkeypatch, place):
    owner, name, is_poison = PLACES[place]
    monkeypatch.setattr(owner, name, breaks(getattr(owner, name), is_poison))
    numbers = range(1, NEIGHBOURS.get(place, 12) + 2)
    runs = {
        number: world.operation("upsert", number, rows=1, texts=["poison" if number == POISON else "milk"])
        for number in numbers
    }
    neighbours = [number for number in numbers if number != POISON]
    merger = world.merger()
    for _ in range(DELIVERIES):
        deliver(lambda: merger.merge(list(runs.values())))
    assert world.lines(runs[POISON]).state is RunState.FAILED
    assert "StrangeError: no neighbour is to blame" in world.lines(runs[POISON]).error
    assert world.states(*(runs[number] for number in neighbours)) == [RunState.COMPLETED] * len(neighbours)
    assert sorted(world.readers()[0]) == sorted(f"{name}" for number in neighbours for name in ids(number)[:1])


def test_while_a_run_is_poison_a_tick_and_another_message_go_on(world, monkeypatch):
    owner, name, is_poison = PLACES["the index"]
    monkeypatch.setattr(owner, name, breaks(getattr(owner, name), is_poison))
    poison = world.operation("upsert", POISON, rows=1, texts=["poison"])
    merger = world.merger()
    with pytest.raises(RetryableError):
        merger.merge([poison])
    other = world.run(1)
    # The poison is MERGED or PENDING and merged along by a cold start; it stands behind, and alone.
    with pytest.raises(RetryableError):
        merger.merge([other, poison])
    assert world.states(other) == [RunState.COMPLETED]
    third = world.run(2)
    for _ in range(DELIVERIES):
        deliver(lambda: world.merger().tick())
        deliver(lambda: merger.merge([third]))
    assert world.states(third) == [RunState.COMPLETED]


def test_a_ledger_that_counts_other_rows_than_there_are_does_not_wedge_its_receipt(world):
    merger = world.merger()
    merger.merge([world.run(1)])
    copy = merger._keeper.copy
    assert copy is not None
    with copy._opened.transaction():
        copy.rows._connection.execute("UPDATE receipts SET rows = 9")
    again = world.operation("upsert", 1, rows=3)
    merger.merge([again])
    assert world.states(again) == [RunState.COMPLETED]


@pytest.mark.parametrize(("number", "known"), [("0" * 4 + "1", True), (str(10**17), True), (str(2**63), False)])
def test_an_identifier_beyond_what_the_file_can_hold_names_no_row(number, known):
    """The delta of a run that has one is refused, and the run alone fails: DELTA_INVALID."""
    for end in (
        f"RECEIPT#{number}#LINE#00001",
        f"RECEIPT#00001#LINE#{number}",
        f"RECEIPT#00001#LINE#00001#WORD#{number}",
    ):
        assert (parse_identifier(f"IMAGE#{key_of(1).image_id}#{end}") is not None) is known
