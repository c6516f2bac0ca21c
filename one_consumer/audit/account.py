"""An audit of a live account: its queues by URL, or all of a region's. It needs no stack and changes nothing."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from one_consumer.audit.judgement import AuditedQueue, ExpectedQueue, audit
from one_consumer.live.clients import AwsClient
from one_consumer.live.observer import ConsumerObserver
from one_consumer.live.tasks import pages

RIGHTS = (
    "application-autoscaling:DescribeScalableTargets",
    "ecs:DescribeServices",
    "ecs:DescribeTaskDefinition",
    "ecs:DescribeTasks",
    "ecs:ListClusters",
    "ecs:ListServices",
    "ecs:ListTasks",
    "events:ListEventBuses",
    "events:ListRules",
    "events:ListTargetsByRule",
    "iam:SimulatePrincipalPolicy",
    "lambda:GetFunctionConfiguration",
    "lambda:ListEventSourceMappings",
    "pipes:ListPipes",
    "scheduler:GetSchedule",
    "scheduler:ListSchedules",
    "sqs:GetQueueAttributes",
    "sqs:ListQueues",
)
"""What an audit may need, all on ``*``; ``sqs:ListQueues`` for a whole region alone."""


QUEUE_HOST = re.compile(r"^https?://(?:sqs\.([a-z0-9-]+)\.|([a-z0-9-]+)\.queue\.)")
"""The region in a queue's URL, of SQS's present and of its older endpoints
(https://docs.aws.amazon.com/general/latest/gr/sqs-service.html)."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What to look at in one region.

    Attributes:
        region: None for the one that boto3 is set to.
        queue_urls: which queues; empty for all of the region.
    """

    region: str | None
    queue_urls: tuple[str, ...] = ()


def scopes(queue_urls: Sequence[str], regions: Sequence[str]) -> list[Scope]:
    """What a command line asks for: the queues that it names, each once, or every queue of its regions; pure.

    Args:
        queue_urls: empty for every queue.
        regions: for a queue whose URL does not say its region the first of them; none for boto3's own.
    """
    usual = regions[0] if regions else None
    if not queue_urls:
        return [Scope(region=region) for region in dict.fromkeys(regions)] or [Scope(region=None)]
    by_region: dict[str | None, list[str]] = {}
    for url in dict.fromkeys(queue_urls):
        found = QUEUE_HOST.match(url)
        by_region.setdefault((found[1] or found[2]) if found else usual, []).append(url)
    return [Scope(region=region, queue_urls=tuple(urls)) for region, urls in by_region.items()]


def audit_account(connect: Callable[[str, str | None], AwsClient], wanted: Sequence[Scope]) -> list[AuditedQueue]:
    """Look at everything that may consume the queues. Of none of them is it known who should.

    Args:
        connect: a boto3 client of a service in a region.
        wanted: regions and their queues.

    Raises:
        ClientError: whatever AWS answers, also for a right that is missing: a look that leaves something out would say
            that a queue has one consumer when it has two.
    """
    found: list[AuditedQueue] = []
    for scope in wanted:
        with _clients(connect, scope.region) as client:
            urls = scope.queue_urls or tuple(pages(client("sqs"), "list_queues", "QueueUrls"))
            queues = [
                ExpectedQueue(label=url.rsplit("/", 1)[-1], url=url, consumer=None, optional=True) for url in urls
            ]
            found += audit(ConsumerObserver(client, scheduled=True), queues)
    return found


@contextmanager
def _clients(
    connect: Callable[[str, str | None], AwsClient], region: str | None
) -> Iterator[Callable[[str], AwsClient]]:
    """One client a service, closed in the end: an audit asks for them again and again."""
    made: dict[str, AwsClient] = {}

    def client(service: str) -> AwsClient:
        if service not in made:
            made[service] = connect(service, region)
        return made[service]

    try:
        yield client
    finally:
        for item in made.values():
            item.close()
