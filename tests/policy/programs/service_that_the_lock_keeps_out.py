"""The whole architecture, and a service whose rights are elsewhere and which the queue's lock keeps out."""

import runpy

from tests.policy.parts import service
from tests.program.engine import PROJECT

queue = runpy.run_path(str(PROJECT / "__main__.py"))["embed_queues"].main
outside = "arn:aws:iam::000000000000:role/platform"
service("by-another-hand", {"QUEUE_URL": queue.url}, task_role=outside, desired_count=1)
