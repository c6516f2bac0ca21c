"""Who consumes a queue right now, asked of AWS: for a worker's own check, the handover of a switch, and the audit.

``observation`` is the data and the judgement, pure; ``observer`` looks; ``drain`` waits; ``scaling`` suspends a
service's scaling. It imports no Pulumi.
"""
