"""What ``receipts watch`` sees of a stack in an account, beside its queues and its table.

It implements ``ops.watching.gathering.StackView``: CloudWatch has the ages of messages and the counts of invocations;
Pulumi is asked for the outputs once a minute at most. Nothing on AWS records who worked when. Its other half is
``local_view``.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.stacks.account import pulumi_target
from ops.target import Target
from ops.watching.lanes import METRICS_SECONDS, WORKER_LANE, in_order, lanes_of, measured, metric_queries
from ops.watching.paced import Paced
from ops.watching.snapshot import FunctionNow
from pipeline.aws import AwsClient

METRICS_BACK = timedelta(minutes=5)


class AccountView:
    """A stack in an account, to be watched.

    Args:
        target: the stack as it was found.
        name: its name in Pulumi.
    """

    def __init__(self, target: Target, name: str) -> None:
        self.target, self.name = target, name
        self._metrics_remarks: tuple[str, ...] = ()
        self._current: Mapping[str, Any] = target.outputs
        self._metrics = Paced(self._read_metrics, least_seconds=METRICS_SECONDS)
        self._outputs = Paced(lambda: pulumi_target(name).outputs, least_seconds=METRICS_SECONDS, first=target.outputs)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What could not be read: the metrics, or the outputs, of which the last ones are used on."""
        failure = self._outputs.failure
        outputs = () if failure is None else (f"the stack's outputs are those of an earlier reading: {failure}",)
        return outputs + self._metrics_remarks

    def settings(self) -> tuple[Mapping[str, Any], str | None]:
        """The outputs that Pulumi gave last; whether an update is under way is not known."""
        self._current = self._outputs.value() or self.target.outputs
        return self._current, None

    def oldest_seconds(self, label: str, url: str, messages: int, now: datetime) -> float | None:
        """The age of a queue's oldest message as CloudWatch has it; None while it is not known."""
        del url, messages, now
        return (self._metrics.value() or {}).get(f"age {label}")

    def work(self, outputs: Mapping[str, Any], now: datetime) -> tuple[None, tuple[FunctionNow, ...]]:
        """The invocations of the last minutes, by CloudWatch; no timeline."""
        del now
        return None, self._measured(outputs, self._metrics.value() or {})

    def close(self) -> None:
        """Begin no further reading."""
        for paced in (self._metrics, self._outputs):
            paced.close()

    @cached_property
    def _cloudwatch(self) -> AwsClient:
        return self.target.client("cloudwatch")

    def _measured(self, outputs: Mapping[str, Any], metrics: Mapping[str, float]) -> tuple[FunctionNow, ...]:
        def whole(name: str) -> int | None:
            return None if name not in metrics else round(metrics[name])

        return tuple(
            FunctionNow(label=lane, running=None, recent=whole(f"invocations {lane}"), failed=whole(f"errors {lane}"))
            for lane in in_order(lanes_of(outputs))
            if lane != WORKER_LANE
        )

    def _read_metrics(self) -> dict[str, float]:
        # As they are now: a switch to hybrid brings queues that were not there when the watch began.
        queries = metric_queries(self._current)
        now = datetime.now(UTC)
        try:
            answer = self._cloudwatch.get_metric_data(
                MetricDataQueries=queries, StartTime=now - METRICS_BACK, EndTime=now, ScanBy="TimestampDescending"
            )
        except (ClientError, BotoCoreError) as error:
            # Somebody may have no right to read metrics; the rest of the view needs none.
            self._metrics_remarks = (f"ages and invocations are not known: {error}",)
            return {}
        self._metrics_remarks = ()
        return measured(answer["MetricDataResults"])
