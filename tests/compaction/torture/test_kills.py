"""A handler that is killed at any moment; a failure means that a crash loses receipts, doubles or corrupts them.

The seed is printed; ``TORTURE_SEED`` repeats a run, ``TORTURE_KILLS`` sets how many there are: a few at every point in
the gate, over a hundred with ``make torture``.
"""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.compaction.torture.victim import POINTS
from tests.compaction.torture.world import SEED, TorturedWorld, Victims

KILLS = int(os.environ.get("TORTURE_KILLS", "6"))
WORLDS = 2


def torture(world: TorturedWorld, kills: int, aimed: list[str]) -> set[str]:
    """Kill handler after handler; every now and then one may finish.

    Returns:
        The points at which one was killed.
    """
    done = 0
    reached: set[str] = set()
    typical = 0.3
    while done < kills or aimed:
        for _ in range(world.random.randrange(1, 5)):
            world.record()
        waiting = world.unfinished()
        world.random.shuffle(waiting)
        if aimed and world.random.random() < 0.6:
            point = aimed.pop()
            moment = world.random.choice(["before", "after"] + ["half"] * (point == "copying a file"))
            kill: dict[str, Any] = {"point": point, "moment": moment, "call": world.random.choice([1, 1, 2, 3])}
            if point not in reached:
                kill["call"] = 1
        else:
            kill = {"seconds": world.random.uniform(0.02, 1.5 * typical)}
        started = time.monotonic()
        answer = world.handle(waiting, kill=kill)
        if answer["killed"]:
            done += 1
            reached |= {kill["point"]} & set(POINTS) if "point" in kill else set()
        else:
            assert answer["status"] == 0, (kill, (world.directory / "log").read_text()[-4000:])
            typical = min(1.5, time.monotonic() - started)
            if "point" in kill and kill["point"] not in reached:
                # It was not reached this time: nothing was deleted, or everything was merged already.
                aimed.insert(0, kill["point"])
        world.let_the_lease_expire()
        world.require_sound()
        if world.random.random() < 0.25:
            world.recover()
    world.recover()
    return reached


def test_kills_at_aimed_and_random_moments_lose_nothing_and_double_nothing(endpoint, tmp_path):
    print(f"TORTURE_SEED={SEED}")  # noqa: T201 - shown when the test fails
    source = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    # In the gate another part of the points every time.
    chosen = source.sample(sorted(POINTS), min(len(POINTS), KILLS))
    points = [point for point in chosen for _ in range(max(1, KILLS // (2 * len(POINTS))))]
    source.shuffle(points)

    def one(number: int) -> set[str]:
        directory = tmp_path / str(number)
        directory.mkdir()
        with Victims(endpoint) as victims:
            world = TorturedWorld(endpoint, victims, directory, SEED + number, loses=number == 0)
            try:
                reached = torture(world, KILLS // WORLDS, points[number::WORLDS])
                assert bool(world.missed) == world.loses
                return reached
            finally:
                world.close()

    with ThreadPoolExecutor(WORLDS) as pool:
        reached = set().union(*pool.map(one, range(WORLDS)))
    assert reached >= set(chosen)
