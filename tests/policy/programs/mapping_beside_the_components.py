"""The whole architecture, and a mapping that somebody wrote by hand: incident 1 of the origin system."""

import runpy

from tests.policy.parts import mapping
from tests.program.engine import PROJECT

architecture = runpy.run_path(str(PROJECT / "__main__.py"))
mapping("by-hand", architecture["embed_queues"].main.arn)
