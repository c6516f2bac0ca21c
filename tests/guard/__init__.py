"""The guard as a distribution: the audit, the claim, the wheel, and the way into somebody else's program."""
