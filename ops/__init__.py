"""What people run: the ``receipts`` command and what serves it. Never deployed."""

LOCAL_STACK_NAME = "local"
"""The ``--stack`` that is the one on this machine; any other is Pulumi's."""
