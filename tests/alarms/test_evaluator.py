"""The evaluator against tables and examples of the CloudWatch user guide; an alarm judged wrongly proves nothing."""

import pytest

from tests.alarms.evaluator import aggregated, computed, decided

POINTS = {"0": False, "X": True, "-": None}
THREE_OF_THREE = [
    # Data points, then the state with ignore, breaching, notBreaching; "kept" is the state before.
    ("0 - X - X", "OK", "OK", "OK"),
    ("0 - - - -", "OK", "OK", "OK"),
    ("- - - - -", "kept", "ALARM", "OK"),
    ("0 X X - X", "ALARM", "ALARM", "ALARM"),
    ("- - - - X", "kept", "ALARM", "OK"),
    ("X - - - -", "kept", "ALARM", "OK"),
]
TWO_OF_THREE = [
    ("0 - X - X", "ALARM", "ALARM", "ALARM"),
    ("0 0 X 0 X", "ALARM", "ALARM", "ALARM"),
    ("0 - X - -", "OK", "ALARM", "OK"),
    ("- - - - 0", "OK", "ALARM", "OK"),
    ("- - - - X", "kept", "ALARM", "OK"),
]


@pytest.mark.parametrize(
    ("to_alarm", "row"), [*((3, row) for row in THREE_OF_THREE), *((2, row) for row in TWO_OF_THREE)]
)
def test_missing_data_is_treated_as_the_guides_tables_say(to_alarm, row):
    points, *states = row
    for missing, state in zip(("ignore", "breaching", "notBreaching"), states, strict=True):
        found = decided(
            [POINTS[point] for point in points.split()],
            evaluated=3,
            to_alarm=to_alarm,
            missing=missing,
            current="kept",
        )
        assert found == state, missing


def test_expressions_are_computed_as_the_guides_examples_say():
    """There metric1 is [30, 20, 0, 0] and metric2 [20, -, 20, -]."""
    series = {"metric1": {0: 30, 1: 20, 2: 0, 3: 0}, "metric2": {0: 20, 2: 20}}
    assert computed("metric1 < metric2", series) == {0: 0, 1: 0, 2: 1, 3: 0}
    assert computed("metric1 >= 30", series) == {0: 1, 1: 0, 2: 0, 3: 0}
    # Arithmetic: "Missing values in a time series are treated as 0."
    assert computed("metric1 - metric2", series) == {0: 10, 1: 20, 2: -20, 3: 0}


def test_a_period_has_the_statistic_of_its_samples_and_none_without_any():
    samples = [(0, 3), (4, 1), (11, 5)]
    assert aggregated(samples, "Maximum", 5) == {0: 3, 2: 5}
    assert aggregated(samples, "Minimum", 5) == {0: 1, 2: 5}
    assert aggregated(samples, "Sum", 5) == {0: 4, 2: 5}
    assert aggregated(samples, "SampleCount", 5) == {0: 2, 2: 1}
