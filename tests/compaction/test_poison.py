"""A run over which a merge breaks takes no neighbour with it: it is quarantined, and everything else is published."""

import os
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from compaction_handler import merging
from compaction_handler.marking import MAXIMUM_ATTEMPTS
from compaction_handler.soundness import Inspection, Verdict, judge
from pipeline.collections.chroma import ChromaIndex
from pipeline.collections.database import CollectionDatabase
from pipeline.collections.layout import ROWS_NAME
from pipeline.collections.ledger import Ledger
from pipeline.collections.receipts import ReceiptKey
from pipeline.collections.rows import RowTable, parse_identifier
from pipeline.contracts.run import RunState
from pipeline.errors import ErrorCode, PermanentError, RetryableError
from pipeline.runs.repository import RunRepository
from pipeline.runs.transitions import Completed, Merged, Transition
from tests.compaction.copies import database_of, execute_behind
from tests.compaction.world import ids, spoil

POISON, NEIGHBOURS, DELIVERIES = 7, 12, 10
RUNS = int(os.environ.get("POISON_RUNS", "24"))
"""Of one message; 60 with ``make torture``."""


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
    numbers = range(1, NEIGHBOURS + 2)
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


def judging(verdict: Callable[[list[str]], Verdict]) -> Callable[[Inspection], Verdict]:
    """The real check, and a further verdict over the texts of the copy."""

    def judged(inspection: Inspection) -> Verdict:
        with closing(CollectionDatabase.open(Path(inspection.directory) / ROWS_NAME)) as database:
            further = verdict(database.rows.texts())
        return further if further != Verdict() else judge(inspection)

    return judged


REFUSALS = {
    ErrorCode.SNAPSHOT_RECALL: Verdict(losses=("1 text is not found by its own vector",)),
    ErrorCode.SNAPSHOT_UNSOUND: Verdict(faults=("it is not sound",)),
}


@pytest.mark.parametrize(
    ("code", "every"),
    [
        (ErrorCode.SNAPSHOT_RECALL, 0),
        (ErrorCode.SNAPSHOT_UNSOUND, 300),
        pytest.param(ErrorCode.SNAPSHOT_RECALL, 300, marks=pytest.mark.long),
        pytest.param(ErrorCode.SNAPSHOT_UNSOUND, 0, marks=pytest.mark.long),
    ],
)
def test_a_run_for_whose_texts_no_version_is_published_takes_no_neighbour_along(world, monkeypatch, code, every):
    """Also with an interval, where the run is MERGED long before the publication that it makes impossible."""
    world.settings["publish_every_seconds"] = every
    monkeypatch.setattr(
        "tests.compaction.world.judge_where_there_is_room",
        judging(lambda texts: REFUSALS[code] if "poison" in texts else Verdict()),
    )
    merger = world.merger()
    first = world.operation("upsert", 99, rows=1, texts=["milk"])
    merger.merge([first])
    runs = [
        world.operation("upsert", number, rows=1, texts=["poison" if number == POISON else f"milk {number}"])
        for number in range(1, 14)
    ]
    deliver(lambda: merger.merge(runs))
    for _ in range(DELIVERIES):
        world.moment += timedelta(minutes=6)
        deliver(merger.tick)
    states = dict(zip(range(1, 14), world.states(*runs), strict=True))
    assert states.pop(POISON) is RunState.FAILED
    assert set(states.values()) == {RunState.COMPLETED}
    assert (world.lines(runs[POISON - 1]).error or "").startswith(code)
    assert len(world.readers()[1]) == 13


@pytest.mark.parametrize(
    ("code", "is_first"),
    [
        (ErrorCode.SNAPSHOT_RECALL, False),
        (ErrorCode.SNAPSHOT_UNSOUND, True),
        pytest.param(ErrorCode.SNAPSHOT_RECALL, True, marks=pytest.mark.long),
        pytest.param(ErrorCode.SNAPSHOT_UNSOUND, False, marks=pytest.mark.long),
    ],
)
def test_a_version_that_is_itself_refused_quarantines_no_run_however_long_it_lasts(world, monkeypatch, code, is_first):
    """For example because the process that checks finds no memory for so large a collection."""
    merger = world.merger()
    if not is_first:
        merger.merge([world.operation("upsert", 99, rows=1, texts=["old"])])
    runs = [world.run(number) for number in (1, 2)]
    with monkeypatch.context() as patch:
        patch.setattr(
            "tests.compaction.world.judge_where_there_is_room",
            judging(lambda texts: REFUSALS[code] if is_first or "old" in texts else Verdict()),
        )
        for _ in range(MAXIMUM_ATTEMPTS + 1):
            with pytest.raises(RetryableError) as caught:
                merger.merge(runs)
            assert caught.value.code is code
            assert "also without any new run" in str(caught.value)
    assert [world.lines(run).attempts for run in runs] == [0, 0]
    merger.merge(runs)
    assert world.states(*runs) == [RunState.COMPLETED] * 2


def test_a_poison_of_each_kind_in_one_message_of_many_is_quarantined_within_five_deliveries(world, monkeypatch):
    """A portion that breaks does not end a merge: the others have their turn in the same delivery."""
    for owner, name, is_poison in (PLACES["the plan"], PLACES["the index"]):
        monkeypatch.setattr(owner, name, breaks(getattr(owner, name), is_poison))
    monkeypatch.setattr(
        "tests.compaction.world.judge_where_there_is_room",
        judging(lambda texts: REFUSALS[ErrorCode.SNAPSHOT_UNSOUND] if "unsound" in texts else Verdict()),
    )
    texts = {11: "poison", 17: "unsound"}
    runs = {
        number: world.operation("upsert", number, rows=1, texts=[texts.get(number, "milk")])
        for number in range(1, RUNS + 1)
    }
    runs[21] = world.operation("upsert", 21, rows=1, receipt_id=2**64)
    poison = {POISON, *texts, 21}
    merger = world.merger()
    for _ in range(MAXIMUM_ATTEMPTS):
        deliver(lambda: merger.merge(list(runs.values())))
    states = dict(zip(runs, world.states(*runs.values()), strict=True))
    assert {number for number, state in states.items() if state is RunState.FAILED} == poison
    assert {state for number, state in states.items() if number not in poison} == {RunState.COMPLETED}


def test_an_error_that_says_it_is_permanent_is_nobodys_but_the_culprits(world, monkeypatch):
    refused = PermanentError(ErrorCode.DELTA_INVALID, value="seven", rule="no seven", way_out="eight")
    original = merging.make_plan

    def make_plan(entries: Any, operations: Any, rows: Any) -> Any:
        if key_of(POISON) in operations:
            raise refused
        return original(entries, operations, rows)

    monkeypatch.setattr(merging, "make_plan", make_plan)
    runs = [world.run(number) for number in range(1, 13)]
    merger = world.merger()
    deliver(lambda: merger.merge(runs))
    assert RunState.FAILED not in world.states(*runs)
    for _ in range(MAXIMUM_ATTEMPTS - 1):
        deliver(lambda: merger.merge(runs))
    assert world.states(runs[POISON - 1]) == [RunState.FAILED]
    assert world.states(*runs).count(RunState.COMPLETED) == 11


@pytest.mark.parametrize("refused_for", [Merged, Completed])
def test_an_item_that_takes_no_more_changes_keeps_no_other_from_being_completed(world, monkeypatch, refused_for):
    poison, original = world.run(POISON), RunRepository.move
    refused = PermanentError(ErrorCode.REQUEST_INVALID, value="item too large", rule="400 kB", way_out="make it small")

    def move(runs: RunRepository, reference: Any, collection: Any, transition: Transition, **more: Any) -> bool:
        if reference == poison and isinstance(transition, refused_for):
            raise refused
        return original(runs, reference, collection, transition, **more)

    merger = world.merger()
    with monkeypatch.context() as patch:
        patch.setattr(RunRepository, "move", move)
        for number in (1, 2):
            with pytest.raises(PermanentError):
                merger.merge([poison, world.run(number)])
            assert world.states(world.run(number)) == [RunState.COMPLETED]
    merger.merge([poison])
    assert world.states(poison) == [RunState.COMPLETED]


def test_a_full_disk_is_nobodys_attempt_and_the_next_delivery_goes_on(world):
    merger, runs = world.merger(), [world.run(number, rows=1) for number in (1, 2)]
    merger.merge([world.run(99)])
    copy = merger.copy
    assert copy is not None
    pages = execute_behind(database_of(copy), "PRAGMA page_count")
    execute_behind(database_of(copy), f"PRAGMA max_page_count = {pages}")
    large = world.operation("upsert", 3, rows=300, texts=[f"{row} " * 99 for row in range(300)])
    with pytest.raises(RetryableError) as caught:
        merger.merge([*runs, large])
    assert caught.value.code is ErrorCode.STORAGE_FULL
    assert [world.lines(run).attempts for run in (*runs, large)] == [0, 0, 0]
    merger.merge([*runs, large])
    assert world.states(*runs, large) == [RunState.COMPLETED] * 3


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("name", ["created_at", "uploaded_at"])
def test_a_run_of_an_impossible_moment_wedges_no_tick(world, name, moment):
    strange, good = world.run(1), world.run(2)
    spoil(world, strange, **{name: moment})
    merger = world.merger()
    for _ in range(MAXIMUM_ATTEMPTS):
        world.moment += timedelta(minutes=6)
        deliver(merger.tick)
    assert world.states(good) == [RunState.COMPLETED]
    merger.tick()


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
    copy = merger.copy
    assert copy is not None
    with database_of(copy).transaction():
        execute_behind(database_of(copy), "UPDATE receipts SET rows = 9")
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
