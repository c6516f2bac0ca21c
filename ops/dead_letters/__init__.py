"""``receipts dead-letters``: what is on the five dead letter queues, why, and what becomes of it.

``describing`` and ``deciding`` are pure: what a dead letter is, which ones were meant, where one is sent again and in
what order. ``looking`` receives without taking away; ``acting`` sends again and deletes.
"""
