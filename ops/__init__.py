"""What people run: the ``receipts`` command and what serves it. Never deployed."""
