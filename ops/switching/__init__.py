"""``receipts switch``: preflight, flag, update, six checks, and the way back when one fails.

``plan`` decides, pure; ``stacks`` is the interface of a stack that can be switched, which ``ops/stacks`` implements for
this machine and for AWS; ``checks`` looks for the signs of the new consumer at work; ``stopped`` says why the worker's
tasks ended; ``procedure`` puts them in order. That the update itself breaks before it makes is not here: see
``stack/embedding.py``.
"""
