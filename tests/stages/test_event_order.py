"""What happened last wins, however messages arrive: histories of one receipt beside a plain dictionary of events.

Uploads, removals and corrections happen in one order. The uploads' messages are delivered late, doubled, redriven and
shuffled, to a function, a worker or both. What the recorded runs say in the end must be what the last event said.
"""

import os
import random
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ops.operations import apply_again, correct, remove
from ops.target import OperatorError, Target
from pipeline.collections.receipts import ReceiptKey, ReceiptState, fold, operation_of
from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.metadata import MERCHANT_NAME
from pipeline.embedding.core import EmbeddingCore
from pipeline.embedding.work import Disposition
from tests.stages.embedding_world import EmbeddingWorld
from tests.world import BUCKET, TABLE

START = datetime(2026, 1, 1, tzinfo=UTC)
Kind = Literal["upload", "remove", "correct", "repair"]
CONTENTS = ("old", "new", "newest")
EXAMPLES = int(os.environ.get("TORTURE_HISTORIES", "15"))
"""In the gate; ``make torture`` tries a thousand."""


@dataclass
class Clocked:
    """A DynamoDB client whose answers carry the time of a simulation, as AWS's carry theirs."""

    client: Any
    moment: datetime = START
    asked: int = 0

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            answer = getattr(self.client, name)(**arguments)
            # It goes on, or who waits for its next second would wait for ever.
            self.asked += name == "get_item"
            now = self.moment + timedelta(seconds=self.asked / 2)
            answer["ResponseMetadata"]["HTTPHeaders"]["date"] = format_datetime(now, usegmt=True)
            return answer

        return getattr(self.client, name) if name == "exceptions" else call


OUTPUTS = {"tableName": TABLE, "embeddingModel": "counting", "embeddingDimensions": 4, "vectorsBucket": BUCKET}


@dataclass(frozen=True, kw_only=True)
class Operator(Target):
    """The stack as an operator reaches it; its table has the clock of the simulation."""

    clock: Clocked

    def client(self, service: str, **options: Any) -> Any:
        assert service == "dynamodb"
        return self.clock


@dataclass(frozen=True)
class Event:
    """What happened; for an upload, when and where its message is delivered."""

    kind: Kind
    content: str
    deliveries: tuple[tuple[int, str], ...]


EVENTS = st.builds(
    Event,
    st.sampled_from(["upload", "upload", "upload", *get_args(Kind)]),
    st.sampled_from(CONTENTS),
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["lambda", "ecs"])), min_size=1, max_size=3).map(tuple),
)
HISTORIES = st.lists(EVENTS, min_size=1, max_size=7)


@dataclass
class Simulation:
    """One history of one receipt."""

    world: EmbeddingWorld
    receipt: int
    hosts: dict[str, EmbeddingCore]
    operator: Operator
    clock: Clocked
    events: list[Event]
    expected: str | None = None
    merchant: str | None = None

    def run(self, order: random.Random) -> None:
        """Let everything happen, and every message arrive."""
        due: list[tuple[float, float, str, Any]] = []
        for number, event in enumerate(self.events):
            if event.kind == "upload":
                message = self.world.message(self.receipt, (event.content,)).model_copy(
                    update={"uploaded_at": START + timedelta(seconds=number), "sequencer": f"{number:04X}"}
                )
                due += [(number + 0.5 + delay, order.random(), host, message) for delay, host in event.deliveries]
            due.append((number, 0, "event", event))
        for moment, _, host, what in sorted(due, key=lambda item: item[:2]):
            self.clock.moment, self.clock.asked = START + timedelta(seconds=moment), 0
            if host == "event":
                self._happen(what, int(moment))
            else:
                (outcome,) = self.hosts[host].process([self.world.incoming(what)])
                assert outcome.disposition is not Disposition.RETRY, outcome

    def _happen(self, event: Event, number: int) -> None:
        if event.kind == "upload":
            self.expected, self.merchant = event.content, None
            return
        key = ReceiptKey(str(self.world.message(self.receipt).image_id), self.receipt)
        with suppress(OperatorError):
            # Refused when the operator sees no such receipt: then nothing happened.
            if event.kind == "remove":
                remove(self.operator, key)
                self.expected = self.merchant = None
            elif event.kind == "correct":
                correct(self.operator, key, f"merchant {number}")
                self.merchant = f"merchant {number}" if self.expected is not None else None
            else:
                runs = self.world.runs.of_receipt(self.world.message(self.receipt).image_id, self.receipt)
                if runs:
                    apply_again(self.operator, key, runs, max(run.receipt_version for run in runs))


@pytest.fixture
def clock(world: EmbeddingWorld) -> Clocked:
    return Clocked(world.dynamodb)


NUMBERS = iter(range(1, 10**6))


def play(world: EmbeddingWorld, clock: Clocked, events: list[Event], order: random.Random) -> Simulation:
    simulation = Simulation(
        world=world,
        receipt=next(NUMBERS),
        hosts={"lambda": world.core, "ecs": replace(world.core, consumer="ecs")},
        operator=Operator(clock=clock, outputs=OUTPUTS, client_options={}, cache_directory=Path("unused")),
        clock=clock,
        events=events,
    )
    simulation.run(order)
    return simulation


def empty_table(world: EmbeddingWorld) -> None:
    dynamodb = world.dynamodb
    for item in dynamodb.scan(TableName=TABLE)["Items"]:
        dynamodb.delete_item(TableName=TABLE, Key={name: item[name] for name in ("PK", "SK")})


def require_last_event(world: EmbeddingWorld, simulation: Simulation) -> None:
    message = world.message(simulation.receipt)
    runs = world.runs.of_receipt(message.image_id, simulation.receipt)
    # As the collections do, in whatever order runs reach them: tests/compaction/test_folding.py.
    state = fold(ReceiptState(), map(operation_of, runs))
    if simulation.expected is None:
        assert state.decided_by is None or state.decided_by.kind == "delete"
        return
    assert state.decided_by is not None
    deciding = next(run for run in runs if run.run_id == state.decided_by.run_id)
    assert deciding.kind == "upsert"
    assert deciding.content_id == world.message(simulation.receipt, (simulation.expected,)).run_id
    assert state.changes.get(MERCHANT_NAME) == simulation.merchant
    for run in runs:
        if run.kind == "upsert":
            assert all(run.progress(collection).delta_sha256 for collection in COLLECTIONS)


def test_what_happened_last_wins_however_messages_arrive(world, clock):
    tried = 0

    # Not shrunk: each history takes a third of a second.
    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate])
    @given(events=HISTORIES, order=st.randoms(use_true_random=False))
    def holds(events: list[Event], order: random.Random) -> None:
        nonlocal tried
        tried += 1
        simulation = play(world, clock, events, order)
        require_last_event(world, simulation)
        # A transaction of moto copies the whole table.
        empty_table(world)

    holds()
    assert tried >= EXAMPLES
    print(  # noqa: T201 - the figure is what the test is for
        f"{tried} shuffled histories, no receipt in an older state than its last event"
    )


def history(*events: tuple[Kind, str, int]) -> list[Event]:
    return [Event(kind, content, ((delay, "ecs"),)) for kind, content, delay in events]


@pytest.mark.parametrize(
    "events",
    [
        history(("upload", "old", 9), ("upload", "new", 0)),
        history(("upload", "old", 0), ("upload", "new", 9), ("remove", "", 0)),
        history(("upload", "old", 0), ("upload", "new", 9), ("upload", "old", 0)),
        history(("upload", "new", 0), ("upload", "old", 9), ("correct", "", 0), ("upload", "new", 0)),
        history(("upload", "old", 0), ("upload", "new", 9), ("repair", "", 0)),
        history(("upload", "old", 0), ("upload", "new", 9), ("correct", "", 0)),
        history(("upload", "old", 0), ("correct", "", 0), ("repair", "", 0), ("upload", "old", 0)),
    ],
    ids=[
        "redriven",
        "removed while paused",
        "old again",
        "the same again",
        "repaired meanwhile",
        "corrected",
        "corrected, repaired, uploaded",
    ],
)
def test_a_late_message_never_wins_over_what_happened_after_it(world, clock, events):
    require_last_event(world, play(world, clock, events, random.Random(1)))  # noqa: S311 - a history, not a secret


OLD: tuple[Kind, str, int] = ("upload", "old", 3)


def test_one_content_is_embedded_once_however_often_it_was_uploaded(world, clock):
    play(world, clock, history(*[OLD] * 4, ("upload", "new", 0)), random.Random(1))  # noqa: S311 - a history, not a secret
    assert len(world.embedder.requests) == 2
