"""The audit: who consumes each queue of a live account, judged. It changes nothing.

``judgement`` judges what ``one_consumer.live`` has seen, ``account`` finds the queues, ``words`` and ``sarif`` show the
result to people and to code scanning.
"""
