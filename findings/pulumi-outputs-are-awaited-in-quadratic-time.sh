#!/usr/bin/env bash
# pulumi 3.272.0: at its end a Python program hands every open output to asyncio.wait again after each one that is done.
#
# Guess: the outputs that a program leaves open are awaited once each, so twice the resources cost twice the waiting.
# Seen (Python 3.11): a program whose resources form a chain, each named by the one before, hands over four times as
# many tasks when it is twice as long. Every handing over registers a callback on the task and removes it again. In this
# project (170 resources that know each other) that was 100,000 callbacks and half of an evaluation's processor time.
# It is so only where the program's function returns at once. If it returns an awaitable that gives way a single time,
# asyncio.sleep(0), the registrations have begun when Pulumi looks, and no task is handed over at all.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pulumi==3.272.0
"$place/venv/bin/python" - <<'PYTHON'
import asyncio
import contextvars
from importlib.metadata import version

import pulumi
from pulumi.runtime import mocks, stack
from pulumi.runtime.settings import configure


class Mocks(mocks.Mocks):
    def new_resource(self, args):
        return args.name, args.inputs

    def call(self, args):
        return {}


handed = []
original = asyncio.wait


async def counted(tasks, **options):
    handed.append(len(tasks))
    return await original(tasks, **options)


def evaluate(length, gives_way=False):
    """The numbers of tasks that were handed over while a chain of so many resources was evaluated."""
    handed.clear()

    def program():
        before = pulumi.Output.from_input("start")
        for number in range(length):
            resource = pulumi.CustomResource("test:index:Thing", f"thing{number}", {"before": before, "own": None})
            before = resource.id
        return asyncio.sleep(0) if gives_way else None

    def run():
        monitor = mocks.MockMonitor(Mocks())
        configure(mocks.MockSettings(monitor=monitor, engine=mocks.MockEngine(None), project="p", stack="s"))
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(stack.run_in_stack(program))

    contextvars.copy_context().run(run)
    return list(handed)


stack.asyncio.wait = counted
found = {length: evaluate(length) for length in (50, 100, 200)}
for length, numbers in found.items():
    print(f"pulumi {version('pulumi')}: {length} resources, {len(numbers)} waits, {sum(numbers)} tasks handed over")
for short, long in ((50, 100), (100, 200)):
    ratio = sum(found[long]) / sum(found[short])
    print(f"{long} against {short}: {ratio:.1f} times")
    assert ratio > 3, ratio
given = sum(evaluate(200, gives_way=True))
print(f"200 resources, and the program gives way once at its end: {given} tasks handed over")
assert given == 0, given
PYTHON
