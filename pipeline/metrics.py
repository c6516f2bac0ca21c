"""Metrics of our own, as fields of a log line in CloudWatch's embedded metric format. Pure: it writes nothing.

CloudWatch Logs makes metrics of such a line by itself, so that a function needs neither a right to CloudWatch nor a way
to it from its network (docs/facts.md, "Metrics from log lines"). The alarms on them are in ``stack/alarm_rules.py``.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

NAMESPACE = "Receipts"
DIMENSION = "Table"
"""The name of the stack's table: it belongs to one stack alone, and every caller knows it."""
METADATA_FIELD = "metrics"
"""What the format calls ``_aws``. The formatter leaves out fields that begin with an underscore, so
``pipeline/logs.py`` renames it when the line is written."""


class Measure(StrEnum):
    """The metrics; each costs as much as three alarms, so there are as few as the alarms need.

    Attributes:
        FAILED_TICKS: 0 or 1 for every tick that ended; also shows that ticks run.
        OLDEST_RUN: seconds since the oldest run was recorded that is PENDING or MERGED; 0 without one.
        FAILED_RUNS: runs that are FAILED, counted up to a limit.
        STALE_LEASE: seconds by which a lease that runs wait for is older, or newer, than a live holder's can be.
        OLDEST_REQUEST: seconds since the oldest request to SQS was written that nobody has performed; 0 without one.
        LOW_RECALL: 1 for a publication that was refused because the strongest index does not find its texts.
    """

    FAILED_TICKS = "FailedTicks"
    OLDEST_RUN = "OldestUnfinishedRun"
    FAILED_RUNS = "FailedRuns"
    STALE_LEASE = "StaleLease"
    OLDEST_REQUEST = "OldestQueueRequest"
    LOW_RECALL = "LowRecall"


UNITS: Mapping[Measure, str] = {
    Measure.FAILED_TICKS: "Count",
    Measure.OLDEST_RUN: "Seconds",
    Measure.FAILED_RUNS: "Count",
    Measure.STALE_LEASE: "Seconds",
    Measure.OLDEST_REQUEST: "Seconds",
    Measure.LOW_RECALL: "Count",
}


def metric_fields(values: Mapping[Measure, float], *, table: str, moment: datetime) -> dict[str, Any]:
    """The fields that make metrics of a log line: the ``extra`` of a call of a logger.

    Args:
        values: what was measured, in the units of ``UNITS``.
        table: the name of the stack's table.
        moment: when it was measured, with its time zone.
    """
    return {
        METADATA_FIELD: {
            "Timestamp": int(moment.timestamp() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [[DIMENSION]],
                    "Metrics": [{"Name": measure.value, "Unit": UNITS[measure]} for measure in values],
                }
            ],
        },
        DIMENSION: table,
        **{measure.value: value for measure, value in values.items()},
    }
