"""The tables of docs/cost.md and docs/scale.md, of ``Pulumi.dev.yaml``, as Markdown; ``make docs`` puts them there."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from ops.cost.capacity import (
    FULL,
    VECTORS_A_SECOND_OF_AN_INDEX,
    Part,
    merge_capacity,
    new_vectors,
    parts,
    receipts_until_full,
    shards,
    steady,
)
from ops.cost.month import idle, month, total
from ops.cost.prices import LOOKED_UP, PRICES
from ops.cost.procedure import CONSUMERS, Answer, answer, cheapest, priced_stack, rows, scenario
from ops.scale.model import simulate
from ops.scale.scenario import COLLECTIONS
from ops.scale.times import BENCHMARK, sources

STACK = "dev"
STORED = 600.0
RATES = (1.0, 40.0, 1_000.0)
SECONDS_A_MINUTE, MINUTES_SHOWN = 60, 300
LEAST_SHOWN = 0.005
"""Dollars; less is 0.00."""


def prices() -> str:
    """Every price, its unit and its page."""
    return _table(
        ("price", "dollars", "unit", "page", f"read on {LOOKED_UP} at"),
        (
            (name, f"{price.dollars:.10f}".rstrip("0"), price.unit, price.page, price.stated_by)
            for name, price in PRICES.items()
        ),
    )


def idle_month() -> str:
    """The month of an idle stack, line by line, with the function as its consumer; then every consumer's sum."""
    answers = {consumer: answer(priced_stack(STACK, consumer), 0, STORED) for consumer in CONSUMERS}
    lines = [
        (line.group, line.what, f"{line.quantity:,.3g} {PRICES[line.price].unit}", f"{line.dollars:.2f}")
        for line in answers["lambda"].lines
    ]
    sums = "; ".join(f"`{consumer}` ${found.dollars:.2f}" for consumer, found in answers.items())
    running = total(answers["lambda"].lines, "compute", "network")
    return (
        _table(("group", "what, with `lambda`", "quantity", "dollars"), lines)
        + f"\nTogether: {sums}. Compute and network of `lambda`: ${running:.2f}.\n"
    )


def loaded_months() -> str:
    """The month at some rates, a consumer a column."""
    blocks = []
    for rate in (0.01, 0.1, 1.0):
        answers = _answers(rate)
        head = (f"{rate:g} receipts a second", *(f"`{consumer}`" for consumer in CONSUMERS))
        blocks.append(_table(head, rows(answers)) + f"\nChoose `{cheapest(answers)}`.\n")
    return "\n".join(blocks)


def picture_months() -> str:
    """What stage 0 adds to the month, line by line, with the function as the consumer."""
    off, on = (priced_stack(STACK, "lambda", ocr=engine) for engine in ("none", "tesseract"))
    rates = (0.0, 0.01, 0.1, 1.0)
    added: dict[tuple[str, str], dict[float, float]] = {}
    for rate in rates:
        for stack, sign in ((off, -1), (on, 1)):
            for line in month(stack, steady(off, BENCHMARK, rate, STORED)[0] if rate else idle(STORED)):
                what = (line.group, "mappings wait" if line.what.endswith("mappings wait") else line.what)
                column = added.setdefault(what, dict.fromkeys(rates, 0.0))
                column[rate] += sign * line.dollars
    kept = {what: column for what, column in added.items() if max(column.values()) >= LEAST_SHOWN}
    sums = (f"{sum(column[rate] for column in added.values()):.2f}" for rate in rates)
    return _table(
        ("group", "what", "idle", *(f"{rate:g} a second" for rate in rates[1:])),
        [
            *((*what, *(f"{column[rate]:.2f}" for rate in rates)) for what, column in kept.items()),
            ("", "together", *sums),
        ],
    )


def times() -> str:
    """Service times of the model."""
    return _table(("seconds of", "value", "source"), sources(BENCHMARK))


def saturation() -> str:
    """Every part and quota of the stack, the first to saturate first."""
    found: dict[str, Part] = {}
    for consumer in ("lambda", "ecs"):
        for part in parts(priced_stack(STACK, consumer), BENCHMARK, stored=STORED):
            found.setdefault(part.name, part)
    ordered = sorted(found.values(), key=lambda part: part.capacity)
    return _table(
        ("part or quota", "receipts a second", *(f"load at {rate:,.0f}" for rate in RATES), "next step"),
        (
            (
                f"{part.name} (quota)" if part.is_quota else part.name,
                f"{part.capacity:,.3g}",
                *(f"{part.load(rate):,.2f}" for rate in RATES),
                part.next_step,
            )
            for part in ordered
        ),
    )


def scale() -> str:
    """What each rate needs and costs."""
    table = [_scaled(rate) for rate in RATES]
    names = [name for name, _ in table[0]]
    columns = [[value for _, value in column] for column in table]
    return _table(
        ("", *(f"{rate:,.0f} a second" for rate in RATES)),
        ((name, *(column[number] for column in columns)) for number, name in enumerate(names)),
    )


def _scaled(rate: float) -> list[tuple[str, str]]:
    answers = _answers(rate)
    chosen = cheapest(answers)
    stack = priced_stack(STACK, "lambda")
    known = parts(stack, BENCHMARK, stored=STORED)
    short = [part for part in known if part.load(rate) > FULL]
    quota = next((part for part in known if part.is_quota and part.load(rate) > FULL), None)
    batches = steady(stack, BENCHMARK, rate, STORED)[0].busy_seconds["embed"] * rate / FULL
    tasks = steady(priced_stack(STACK, "ecs"), BENCHMARK, rate, STORED)[1]
    merge = min(COLLECTIONS, key=lambda name: merge_capacity(stack, BENCHMARK, name, STORED))
    needed = shards(stack, BENCHMARK, rate, STORED)
    full = receipts_until_full(stack)
    vectors = new_vectors(STORED) * rate
    half, most = answers[chosen].seconds if chosen else (math.nan, math.nan)
    return [
        ("consumer", f"`{chosen}`" if chosen else "none keeps up as declared"),
        ("searchable, half and 99 of 100", "grows" if math.isnan(half) else f"{half:.0f} s and {most:.0f} s"),
        ("saturated as declared", ", ".join(part.name for part in short if not part.is_quota) or "nothing"),
        ("first quota that is met", quota.name if quota else "none"),
        ("embed function, concurrent batches", f"{math.ceil(batches)}"),
        ("or worker, tasks", f"{tasks}"),
        (f"shards that keep the merge of {merge} below {FULL:.0%}", f"{needed}"),
        ("searchable with so many shards", sharded(rate, needed)),
        ("new texts a second", f"{vectors:,.0f}"),
        ("hosted indexes for them", f"{math.ceil(vectors / VECTORS_A_SECOND_OF_AN_INDEX)}"),
        ("the merge's disk is full after", _duration(full / rate)),
        ("dollars a month, `lambda`", f"{answers['lambda'].dollars:,.0f}"),
        ("dollars a month, `ecs`", f"{answers['ecs'].dollars:,.0f}"),
    ]


def sharded(rate: float, count: int) -> str:
    """Seconds until searchable in one of so many shards, with as many functions as the whole load needs.

    Receipts are divided evenly, and a receipt is in one shard alone, so one of them represents all.
    """
    stack, seconds = priced_stack(STACK, "lambda"), 1_800.0
    own = scenario(stack, rate / count, STORED / count, BENCHMARK, seconds)
    outcome = simulate(replace(own, upload_concurrency=100, function_concurrency=100))
    half, most = (outcome.percentile(share, arrived_before=seconds / 2) for share in (0.5, 0.99))
    return f"{half:.0f} s and {most:.0f} s"


@cache
def _answers(rate: float) -> dict[str, Answer]:
    return {consumer: answer(priced_stack(STACK, consumer), rate, STORED) for consumer in CONSUMERS}


def _duration(seconds: float) -> str:
    if seconds < 2 * SECONDS_A_MINUTE:
        return f"{seconds:,.0f} seconds"
    minutes = seconds / SECONDS_A_MINUTE
    return f"{minutes:,.0f} minutes" if minutes < MINUTES_SHOWN else f"{minutes / 60:,.0f} hours"


def _table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    table = [columns, ["---"] * len(columns), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in table)
