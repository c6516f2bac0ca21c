"""The whole architecture, and services by hand that would poll, were it not for the queue's lock."""

import runpy

from tests.policy.parts import RECEIVE, allow, role, service
from tests.program.engine import PROJECT

queue = runpy.run_path(str(PROJECT / "__main__.py"))["embed_queues"].main
poller = role("poller", allow([RECEIVE, "sqs:DeleteMessage"], [queue.arn]))
service("by-hand", {"QUEUE_URL": queue.url}, task_role=poller.arn, desired_count=1)
outside = "arn:aws:iam::000000000000:role/platform"
service("by-another-hand", {"QUEUE_URL": queue.url}, task_role=outside, desired_count=1)
