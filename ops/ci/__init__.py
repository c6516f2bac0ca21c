"""What the workflows in ``.github/workflows`` run beside the commands: texts in, texts out. It makes no calls.

It imports Python's own modules and ``pipeline.files`` alone, so a workflow can run it before anything is installed.
"""
