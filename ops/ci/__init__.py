"""What the workflows in ``.github/workflows`` run beside the commands: texts in, texts out. It calls nobody.

It imports nothing but Python, so that a workflow can run it before anything is installed.
"""
