"""Which stack a name means: ``local`` is the one on this machine, any other is Pulumi's.

The only place that knows both kinds. Each is imported when it is asked for: a command about a stack on AWS loads no
emulator and no local engine.
"""

from typing import TYPE_CHECKING

from ops import LOCAL_STACK_NAME

if TYPE_CHECKING:
    from ops.switching.stacks import SwitchableStack
    from ops.target import Target
    from ops.watching.gathering import StackView


def connect(name: str) -> "Target":
    """The outputs and the clients of the stack of that name.

    Raises:
        OperatorError: as ``local_target`` or ``pulumi_target``.
    """
    if name == LOCAL_STACK_NAME:
        from ops.local.stack import LocalStack
        from ops.stacks.local import local_target

        return local_target(LocalStack())
    from ops.stacks.account import pulumi_target

    return pulumi_target(name)


def switchable(name: str) -> "SwitchableStack":
    """The stack of that name, to be switched.

    Raises:
        OperatorError: for a stack on AWS, as ``pulumi_stack``.
    """
    if name == LOCAL_STACK_NAME:
        from ops.local.stack import LocalStack
        from ops.stacks.local import LocalSwitchable

        return LocalSwitchable(LocalStack())
    from ops.stacks.account import PulumiSwitchable

    return PulumiSwitchable(name)


def view(name: str) -> "StackView":
    """The stack of that name, to be watched.

    Raises:
        OperatorError: as ``connect``.
    """
    if name == LOCAL_STACK_NAME:
        from ops.local.stack import LocalStack
        from ops.stacks.local_view import LocalView

        return LocalView(LocalStack())
    from ops.stacks.account import pulumi_target
    from ops.stacks.account_view import AccountView

    return AccountView(pulumi_target(name), name)
