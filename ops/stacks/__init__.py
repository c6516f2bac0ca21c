"""The stacks that an operator can talk to: those in an AWS account, and the one on this machine.

The interfaces are declared where they are used: ``ops.target.Target`` (outputs and clients),
``ops.switching.stacks.SwitchableStack`` and ``ops.watching.gathering.StackView``. This package implements them:
``account`` and ``account_view`` for AWS, ``local`` and ``local_view`` for this machine. ``by_name`` chooses, and is the
only module that knows both kinds.
"""
