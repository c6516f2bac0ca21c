"""``receipts logs``: what the stages log, of the files on this machine or of CloudWatch.

``lines`` is pure: what a line says, and whose it is. ``reading`` reads and follows.
"""
