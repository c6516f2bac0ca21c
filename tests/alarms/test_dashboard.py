"""The dashboard shows what rings, on a page that CloudWatch can lay out, a receipt's way from left to right."""

import json
from itertools import combinations
from typing import Any

import pytest

from stack.dashboard import COLUMNS, WIDTH
from tests.alarms.test_alarms import alarms, program

CONSUMERS = ("lambda", "ecs", "hybrid", "none")
PAGE_WIDTH = 24


def widgets(consumer: str) -> list[dict[str, Any]]:
    (dashboard,) = program(consumer).of("aws:cloudwatch/dashboard:Dashboard")
    return json.loads(dashboard.inputs["dashboardBody"])["widgets"]


def shown(widget: dict[str, Any]) -> set[tuple[str, str, frozenset[tuple[str, str]]]]:
    """The metrics of a graph: namespace, name, then dimensions in pairs, then options (dashboard body structure)."""
    found = set()
    for line in widget["properties"].get("metrics", []):
        namespace, name, *pairs = [part for part in line if isinstance(part, str)]
        found.add((namespace, name, frozenset(zip(pairs[::2], pairs[1::2], strict=True))))
    return found


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_every_metric_of_an_alarm_is_on_the_dashboard_and_so_is_every_alarm(consumer):
    graphs = {metric for widget in widgets(consumer) for metric in shown(widget)}
    watched = {metric for alarm in alarms(consumer).values() for metric in alarm.metrics_read()}
    assert watched <= graphs
    (status,) = [widget for widget in widgets(consumer) if widget["type"] == "alarm"]
    arns = {arn.rsplit(":", 1)[-1] for arn in status["properties"]["alarms"]}
    assert arns == {alarm.inputs["name"] for alarm in alarms(consumer).values()}


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_no_widget_covers_another_and_none_leaves_the_page(consumer):
    places = [
        (item["x"], item["y"], item["x"] + item["width"], item["y"] + item["height"]) for item in widgets(consumer)
    ]
    assert all(left >= 0 and right <= PAGE_WIDTH for left, _, right, _ in places)
    for (left, top, right, bottom), (x, y, to, down) in combinations(places, 2):
        assert right <= x or to <= left or bottom <= y or down <= top


def test_a_receipts_way_goes_from_left_to_right():
    columns: dict[int, set[str]] = {}
    for widget in widgets("hybrid"):
        for _, _, dimensions in shown(widget):
            columns.setdefault(widget["x"] // WIDTH, set()).update(value for _, value in dimensions)
    way = ["upload-ocr-results", "embed.fifo", "compaction-stream-processor", "compaction-merge"]
    for number, name in enumerate(way):
        assert [column for column, names in columns.items() if f"receipts-test-{name}" in names] == [number]
    heads = [widget["properties"]["markdown"] for widget in widgets("hybrid") if widget["type"] == "text"]
    assert heads == [f"## {title}" for title in COLUMNS.values()]
