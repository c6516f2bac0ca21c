"""The claim: used in a Pulumi program in Python, it gives each queue one consumer that is on, and refuses the second.

``consumers`` describes what can consume, ``queue`` gives the claim and writes the lock, ``handover`` waits for the
consumer that leaves. Nothing here makes a queue, a function or a service: those stay the program's own.
"""
