"""Stage 2 without its hosts: verify the artifacts, resolve the merchant, embed, write deltas, record the run.

``embed_lambda`` and ``compaction_worker`` host this core and decide nothing about embedding.
"""
