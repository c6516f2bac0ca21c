"""``receipts reconcile``: runs, deltas and vectors compared with each other, and differences repaired.

``comparison.py`` judges, ``looking.py`` reads the stack, ``repair.py`` mends it, by operations like any other.
``procedure.py`` is the command.
"""
