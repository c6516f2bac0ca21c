"""``receipts doctor``: what is wrong with this machine, with a stack, with the account, each with its way out.

``judging`` is pure: facts in, findings out. ``looking`` gathers the facts and changes nothing.
"""
