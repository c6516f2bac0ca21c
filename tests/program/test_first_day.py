"""The checklist of the first day in an account: the names and numbers in docs/deploy.md are those of the program.

It cannot tell whether AWS does what the checklist says; that is what the checklist is for.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ops.cost.month import LONG_POLL_SECONDS, POLLERS
from ops.documentation import PROJECT_DIRECTORY
from stack.alarm_rules import ALARMS
from tests.program.engine import Recording, run_program

TEXT = (PROJECT_DIRECTORY / "docs" / "deploy.md").read_text()


@pytest.fixture(scope="module")
def recording() -> Recording:
    """The stack of Pulumi.dev.yaml, which the checklist is about."""
    declared = yaml.safe_load((PROJECT_DIRECTORY / "Pulumi.dev.yaml").read_text())["config"]
    settings = {key: value if isinstance(value, str) else json.dumps(value) for key, value in declared.items()}
    return run_program(settings, stack="dev")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def test_every_name_is_one_that_the_program_gives(recording: Recording) -> None:
    told = set(re.findall(r"receipts-dev-[a-z0-9.-]*[a-z0-9]", TEXT))
    given = {text for made in recording.made.values() for text in strings(made.inputs)}
    assert len(told) > 5
    assert told <= given


def test_every_output_and_alarm_is_the_programs(recording: Recording) -> None:
    assert set(re.findall(r"pulumi stack output (\w+)", TEXT)) <= recording.outputs.keys()
    alarms = set(re.findall(r"alarm `([a-z-]+)`", TEXT))
    assert alarms
    assert alarms <= {rule.name for rule in ALARMS}


def test_the_preview_shows_about_as_many_resources_as_told(recording: Recording) -> None:
    (told,) = re.findall(r"about (\d+) resources to create", TEXT)
    assert len(recording.made) == pytest.approx(int(told), rel=0.05)


def test_what_is_to_be_mended_in_the_program_is_there() -> None:
    """A way out that names a statement or a file must find it."""
    ways = re.findall(r"`([\w.]+)`(?: of the [\w ]+)? in `(stack/\w+\.py)`", TEXT)
    assert len(ways) > 2
    for name, path in ways:
        assert name.rpartition(".")[2] in (PROJECT_DIRECTORY / path).read_text(), (name, path)


def test_the_empty_receives_of_a_day_are_those_that_the_month_is_priced_with() -> None:
    (told,) = re.findall(r"at most ([\d,]+) a day for a queue", TEXT)
    assert int(told.replace(",", "")) == POLLERS * 24 * 60 * 60 / LONG_POLL_SECONDS


def test_a_setting_within_a_group_is_set_by_its_path() -> None:
    """Without ``--path`` pulumi makes a setting of its own whose name has a dot, which no program reads."""
    settings = re.findall(r"pulumi config set ((?:--path )?)receipts:(\S+?)[ `]", TEXT)
    assert len(settings) > 3
    for path, name in settings:
        assert bool(path) == ("." in name), name
