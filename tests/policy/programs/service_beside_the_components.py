"""The whole architecture, and a polling service that somebody wrote by hand, with rights of its own."""

import runpy

from tests.policy.parts import RECEIVE, allow, role, service
from tests.program.engine import PROJECT

architecture = runpy.run_path(str(PROJECT / "__main__.py"))
queue = architecture["embed_queues"].main
poller = role("poller", allow([RECEIVE, "sqs:DeleteMessage"], [queue.arn]))
service("by-hand", {"QUEUE_URL": queue.url}, task_role=poller.arn, desired_count=1)
