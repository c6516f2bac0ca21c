"""Two builds of this project beside each other, in one run, on the same receipts.

``python -m benchmarks.builds`` runs it. The builds are processes of their own that share files in plain formats
(``workload.py`` writes them) and no code; ``process.py`` is what runs within a build, ``scores.py`` judges its answers.
"""
