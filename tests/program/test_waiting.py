"""Waiting for a program's outputs: what grows with the square of the resources is half of every evaluation."""

import asyncio
from typing import Any

import pytest

from tests.program.engine import run_program


def test_no_output_is_handed_to_be_waited_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[int] = []
    original = asyncio.wait

    async def counted(tasks: Any, **options: Any) -> Any:
        handed.append(len(tasks))
        return await original(tasks, **options)

    monkeypatch.setattr(asyncio, "wait", counted)
    made = run_program({"embedConsumer": "lambda"}).made
    # By Pulumi's own loop alone it is more than a hundred a resource.
    assert sum(handed) < 10 * len(made), sum(handed)
