"""``receipts cost``: a stack's month by consumer, idle or at a load, and what the load does to it.

Pulumi, AWS and the stack itself are not asked: the program is evaluated with the settings of its file.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from ops.console import Output
from ops.cost import month as months
from ops.cost.capacity import FULL, Part, parts, receipts_until_full, shards, steady
from ops.cost.month import Line, Load, idle, load_of, month, total
from ops.cost.prices import LOOKED_UP, PRICES, REGION
from ops.cost.recording import as_config, record
from ops.cost.stack import PricedStack, read_stack
from ops.preflight.procedure import declared
from ops.scale import work
from ops.scale.model import simulate
from ops.scale.scenario import COLLECTIONS, Outcome, Scenario, poisson
from ops.scale.times import BENCHMARK, Times
from ops.target import PROJECT_DIRECTORY

CONSUMERS = ("lambda", "ecs", "hybrid")
SIMULATED_RECEIPTS, MOST_RECEIPTS = 6_000, 60_000
LONGEST_SIMULATION, SHORTEST_SIMULATION = 14_400, 1_800
"""Seconds; several publications. It is longer where fewer than ``LEAST_RECEIPTS`` would come."""
LEAST_RECEIPTS = 10
SETTLING = 1.5
"""Publication intervals after the measured time in which further receipts come, so that its last ones are not odd."""
GROUPS = ("compute", "network", "queues", "table", "objects", "files", "embedding", "rest")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one consumer costs and does.

    Attributes:
        parts: what it is made of, the first to saturate first; empty when idle.
        seconds: until searchable, for half and for 99 of 100 receipts; NaN when it is saturated or idle.
        tasks: of the worker, the most at once.
    """

    stack: PricedStack
    lines: list[Line]
    load: Load
    parts: list[Part]
    seconds: tuple[float, float]
    tasks: int
    rate: float

    @property
    def dollars(self) -> float:
        """A month."""
        return total(self.lines)

    @property
    def first(self) -> Part | None:
        """What saturates first; None when idle."""
        return self.parts[0] if self.parts else None

    @property
    def is_saturated(self) -> bool:
        """Whether a part has too little for the load."""
        return self.first is not None and self.first.load(self.rate) > FULL


@cache
def priced_stack(stack: str, consumer: str, **other: str) -> PricedStack:
    """A stack of ``Pulumi.<stack>.yaml`` as it would be with a consumer, and other settings changed.

    Raises:
        OperatorError: CONFIGURATION_UNREADABLE, COST_UNKNOWN.
        SettingsRefused, StackRefusal: as the program.
    """
    settings = declared(stack).settings
    ecs = settings.ecs.model_copy(update={"desired_count": None})
    changed = settings.model_copy(update={"ecs": ecs})
    program = PROJECT_DIRECTORY / "__main__.py"
    name = stack.rsplit("/", 1)[-1]
    return read_stack(
        record(program, as_config(changed, embedConsumer=consumer, **other), stack=name), consumer=consumer
    )


def answer(stack: PricedStack, rate: float, stored: float, times: Times = BENCHMARK) -> Answer:
    """What a stack costs a month, and does, at so many receipts a second; 0 is idle.

    What is saturated is priced as if it had as many functions, tasks and shards as it lacks.
    """
    nothing = (math.nan, math.nan)
    if rate == 0:
        load = idle(stored)
        return Answer(stack=stack, lines=month(stack, load), load=load, parts=[], seconds=nothing, tasks=0, rate=0)
    found_parts = parts(stack, times, stored=stored)
    if found_parts[0].load(rate) > FULL:
        load, tasks = steady(stack, times, rate, stored)
        lines = month(stack, load)
        return Answer(
            stack=stack, lines=lines, load=load, parts=found_parts, seconds=nothing, tasks=tasks, rate=rate
        )  # fmt: skip
    outcome, simulated, seconds = _simulated(stack, rate, stored, times)
    load = load_of(outcome, simulated=simulated, seconds=seconds, stored=stored)
    found = Answer(
        stack=stack,
        lines=month(stack, load),
        load=load,
        parts=found_parts,
        seconds=nothing,
        tasks=outcome.most_tasks,
        rate=rate,
    )
    measured = max(seconds / 2, seconds - _settling(stack))
    half, most = (outcome.percentile(share, arrived_before=measured) for share in (0.5, 0.99))
    return replace(found, seconds=(half, most))


def scenario(stack: PricedStack, rate: float, stored: float, times: Times, seconds: float) -> Scenario:
    """The stack under a steady load."""
    return Scenario(
        arrivals=poisson(rate, seconds),
        upload_concurrency=stack.upload_concurrency,
        function_concurrency=0 if stack.embed is None else stack.embed.maximum_concurrency,
        batch_size=10 if stack.embed is None else stack.embed.batch_size,
        most_tasks=stack.task.most,
        # A stack that has this load all the time is not at zero when it is looked at.
        warm_tasks=1 if stack.task.most else 0,
        messages_per_task=stack.task.messages_per_task,
        idle_minutes=stack.task.idle_minutes,
        large_share=work.LARGE_SHARE,
        stream_window=stack.stream_window_seconds,
        publish_every=stack.publish_every_seconds,
        tick=60 * stack.tick_minutes,
        version_bytes={name: work.version_bytes(name, stored, stack.dimensions) for name in COLLECTIONS},
        seconds=seconds,
        times=times,
    )


def run_cost(output: Output, stack: str, rate: float, stored: float) -> dict[str, Any]:
    """Answer for every consumer, show it, and say which one to choose.

    Returns:
        The document for programs.
    """
    answers = {consumer: answer(priced_stack(stack, consumer), rate, stored) for consumer in CONSUMERS}
    load = "idle" if rate == 0 else f"{rate:g} receipts a second"
    output.say(f"stack {stack}, {load}, {stored:,.0f} receipts stored: dollars a month, list prices of {REGION},")
    output.say(f"looked up on {LOOKED_UP}, without free tiers and taxes")
    output.table(("", *CONSUMERS), rows(answers))
    chosen = cheapest(answers)
    output.say(advice(answers, rate, stored))
    unverified = sorted({line.price for found in answers.values() for line in found.lines if _is_unverified(line)})
    if unverified:
        output.say(f"prices that no page of the provider was found for: {', '.join(unverified)}")
    pictures = answers["lambda"].stack.pictures
    output.say(
        "stage 0 is off (receipts:ocr none): no picture is in the month"
        if pictures is None
        else "stage 0 is on: every receipt is priced as a picture of one page"
    )
    others = answers["lambda"].stack.other_functions
    if others:
        output.say(f"not in the month, because no load here reaches them: {', '.join(others)}")
    return {
        "stack": stack,
        "rate": rate,
        "stored": stored,
        "region": REGION,
        "prices_of": LOOKED_UP.isoformat(),
        "cheapest": chosen,
        "unverified_prices": unverified,
        "pictures": pictures is not None,
        "functions_left_out": list(others),
        "consumers": {consumer: _document(found) for consumer, found in answers.items()},
    }


def rows(answers: Mapping[str, Answer]) -> list[tuple[str, ...]]:
    """Groups and answers, a consumer a column."""
    found = list(answers.values())
    table: list[tuple[str, ...]] = [
        (group, *(f"{total(item.lines, group):,.2f}" for item in found)) for group in GROUPS
    ]
    table.append(("a month", *(f"{item.dollars:,.2f}" for item in found)))
    if any(item.parts for item in found):
        for name, place in (("searchable, half", 0), ("searchable, 99 of 100", 1)):
            table.append((name, *(_seconds(item.seconds[place]) for item in found)))
        table.append(("worker's tasks", *(str(item.tasks) for item in found)))
        table.append(("saturates first", *(f"{item.first.name}" if item.first else "" for item in found)))
        table.append(("at receipts a second", *(f"{item.first.capacity:,.3g}" if item.first else "" for item in found)))
    return table


def cheapest(answers: Mapping[str, Answer]) -> str | None:
    """The consumer to choose: the cheapest that the load does not saturate; None when it saturates all."""
    able = {consumer: found.dollars for consumer, found in answers.items() if not found.is_saturated}
    return min(able, key=lambda consumer: able[consumer]) if able else None


def advice(answers: Mapping[str, Answer], rate: float, stored: float) -> str:
    """One sentence for a person."""
    chosen = cheapest(answers)
    if rate == 0:
        return f"cheapest when idle: {chosen}"
    first = next(iter(answers.values()))
    full = receipts_until_full(first.stack)
    days = max(0.0, full - stored) / rate / 86_400
    disk = f"the merge's disk is full at {full:,.0f} receipts, in {days:,.1f} days at this rate"
    if chosen is not None:
        return f"choose {chosen}; {disk}"
    steps = {found.first.next_step for found in answers.values() if found.first}
    needed = shards(first.stack, BENCHMARK, rate, stored)
    return f"no consumer keeps up: {'; '.join(sorted(steps))}. Shards that the merge needs: {needed}; {disk}"


def _settling(stack: PricedStack) -> float:
    return SETTLING * max(stack.publish_every_seconds, 60)


def _simulated(stack: PricedStack, rate: float, stored: float, times: Times) -> tuple[Outcome, int, float]:
    """Outcome, receipts and seconds; of what saturates a short time is enough."""
    length = min(LONGEST_SIMULATION, max(SHORTEST_SIMULATION, SIMULATED_RECEIPTS / rate))
    length = max(length, LEAST_RECEIPTS / rate)
    seconds = min(length + _settling(stack), MOST_RECEIPTS / rate)
    planned = scenario(stack, rate, stored, times, seconds)
    return simulate(planned), len(planned.arrivals), seconds


def _document(found: Answer) -> dict[str, Any]:
    return {
        "dollars": round(found.dollars, 2),
        "groups": {group: round(total(found.lines, group), 4) for group in GROUPS},
        "lines": [
            {**asdict(line), "dollars": round(line.dollars, 4), "unit": PRICES[line.price].unit} for line in found.lines
        ],
        "searchable_seconds": {
            name: None if math.isnan(value) else round(value, 1)
            for name, value in zip(("p50", "p99"), found.seconds, strict=True)
        },
        "tasks": found.tasks,
        "is_saturated": found.is_saturated,
        "parts": [
            {"name": part.name, "receipts_a_second": round(part.capacity, 2), "load": round(part.load(found.rate), 3)}
            for part in found.parts
        ],
    }


def _seconds(value: float) -> str:
    return "grows" if math.isnan(value) else f"{value:,.0f} s"


def _is_unverified(line: months.Line) -> bool:
    return not PRICES[line.price].is_verified
