"""CloudWatch's rules for alarms, as far as the stack's alarms use them. Pure; no part of the product.

From the Amazon CloudWatch user guide: "Alarm evaluation", "Configuring how CloudWatch alarms treat missing data" and
"Using metric math"; ``test_evaluator.py`` holds its tables and examples. Of the treatments of missing data, ``missing``
is left out, because no alarm to a person uses it.
"""

import ast
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SECONDS = 60
FURTHER_PERIODS = 2
"""CloudWatch retrieves more periods than it evaluates, how many is not said; the guide's examples retrieve 5 for 3."""

Sample = tuple[float, float]
"""Minute and value."""
Key = tuple[str, str, frozenset[tuple[str, str]]]
"""Namespace, metric, dimensions."""
Metrics = Mapping[Key, Sequence[Sample]]
Series = Mapping[int, float]
"""Number of a period to its value; a period without data is not in it."""

OPERATORS: Mapping[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
}
STATISTICS: Mapping[str, Any] = {"Maximum": max, "Minimum": min, "Sum": sum, "SampleCount": len}
COMPARISONS: Mapping[str, Any] = {"GreaterThanThreshold": operator.gt, "LessThanThreshold": operator.lt}


def aggregated(samples: Iterable[Sample], statistic: str, period_minutes: int) -> dict[int, float]:
    """The statistic of each period that has samples."""
    periods: dict[int, list[float]] = {}
    for minute, value in samples:
        periods.setdefault(int(minute // period_minutes), []).append(value)
    return {period: STATISTICS[statistic](values) for period, values in periods.items()}


def computed(expression: str, series: Mapping[str, Series]) -> Series:
    """Metric math: where one of two series has a value, the other's missing value is 0."""

    def value(node: ast.expr) -> Series | float:
        if isinstance(node, ast.Name):
            return series[node.id]
        if isinstance(node, ast.Constant):
            assert isinstance(node.value, int | float)
            return node.value
        if isinstance(node, ast.BinOp):
            return combined(OPERATORS[type(node.op)], value(node.left), value(node.right))
        if isinstance(node, ast.Compare):
            ((sign,), (right,)) = node.ops, node.comparators
            return combined(OPERATORS[type(sign)], value(node.left), value(right))
        raise NotImplementedError(ast.dump(node))

    answer = value(ast.parse(expression, mode="eval").body)
    assert not isinstance(answer, float | int), "the result of an alarm's expression is a series"
    return answer


def combined(operation: Any, left: Series | float, right: Series | float) -> Series | float:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return {
            period: float(operation(left.get(period, 0), right.get(period, 0)))
            for period in sorted(left.keys() | right.keys())
        }
    if isinstance(left, Mapping):
        return {period: float(operation(found, right)) for period, found in left.items()}
    if isinstance(right, Mapping):
        return {period: float(operation(left, found)) for period, found in right.items()}
    return float(operation(left, right))


def decided(points: Sequence[bool | None], *, evaluated: int, to_alarm: int, missing: str, current: str) -> str:
    """The state after an evaluation.

    Args:
        points: of the evaluation range, oldest first: breaching, not breaching, missing.
        evaluated: how many of them count.
        to_alarm: how many of these must be breaching.
        missing: the treatment of missing data.
        current: the state before.
    """
    real = [point for point in points if point is not None][-evaluated:]
    lacking = evaluated - len(real)
    if missing == "ignore" and lacking and all(real) and sum(real) < to_alarm:
        return current
    breaching = sum(real) + (lacking if missing == "breaching" else 0)
    return "ALARM" if breaching >= to_alarm else "OK"


@dataclass(frozen=True)
class Alarm:
    """An alarm by the inputs of its resource."""

    inputs: Mapping[str, Any]

    @property
    def period_minutes(self) -> int:
        queries = [query["metric"] for query in self.inputs.get("metricQueries", []) if "metric" in query]
        periods = {int(found["period"]) for found in queries or [self.inputs]}
        (period,) = periods  # Amazon CloudWatch user guide: each metric of an alarm has the same period.
        return period // SECONDS

    def metrics_read(self) -> list[Key]:
        """The metrics that it reads."""
        queries = [query["metric"] for query in self.inputs.get("metricQueries", []) if "metric" in query]
        return [key_of(query) for query in queries or [self.inputs]]

    def series(self, metrics: Metrics) -> Series:
        """What it watches."""
        queries = self.inputs.get("metricQueries")
        if queries is None:
            return aggregated(metrics.get(key_of(self.inputs), ()), self.inputs["statistic"], self.period_minutes)
        found = {
            query["id"]: aggregated(
                metrics.get(key_of(query["metric"]), ()), query["metric"]["stat"], self.period_minutes
            )
            for query in queries
            if "metric" in query
        }
        (watched,) = [query for query in queries if query.get("returnData")]
        return computed(watched["expression"], found)

    def states(self, metrics: Metrics, minutes: int) -> list[str]:
        """The state at the end of each period, from its creation at minute 0 of metrics that may begin before."""
        watched, state, states = self.series(metrics), "INSUFFICIENT_DATA", []
        breaches, threshold = COMPARISONS[self.inputs["comparisonOperator"]], self.inputs["threshold"]
        evaluated = int(self.inputs["evaluationPeriods"])
        for period in range(minutes // self.period_minutes):
            numbers = range(period + 1 - evaluated - FURTHER_PERIODS, period + 1)
            state = decided(
                [breaches(watched[number], threshold) if number in watched else None for number in numbers],
                evaluated=evaluated,
                to_alarm=int(self.inputs.get("datapointsToAlarm", evaluated)),
                missing=self.inputs["treatMissingData"],
                current=state,
            )
            states.append(state)
        return states


def key_of(inputs: Mapping[str, Any]) -> Key:
    return inputs["namespace"], inputs["metricName"], frozenset(inputs["dimensions"].items())
