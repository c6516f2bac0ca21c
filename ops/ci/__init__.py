"""What the workflows in ``.github/workflows`` run beside the commands: texts in, texts out. It makes no calls.

It imports nothing but Python, so that a workflow can run it before anything is installed.
"""
