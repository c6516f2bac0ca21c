"""The whole architecture, and a polling service that somebody wrote by hand, in the role that the lock lets in."""

import runpy

from tests.policy.parts import service
from tests.program.engine import PROJECT

architecture = runpy.run_path(str(PROJECT / "__main__.py"))
let_in = architecture["embed"].function.role
service("by-hand", {"QUEUE_URL": architecture["embed_queues"].main.url}, task_role=let_in.arn, desired_count=1)
