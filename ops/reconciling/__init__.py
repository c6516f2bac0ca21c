"""``receipts reconcile``: runs, deltas and vectors held against each other, and what differs repaired.

``comparison.py`` judges, ``looking.py`` reads the stack, ``repair.py`` mends it, by operations like any other.
``procedure.py`` is the command.
"""
