"""What a killed engine leaves in a stack: operations that may or may not have been made, and its lock.

Both are looked for before a switch is begun. A lock in a bucket cannot be seen from here; there the update itself is
refused (STACK_BUSY), before it changes anything.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ops.target import OperatorError


def require_free(stack: Any, name: str, project: str) -> None:
    """Refuse a stack that another engine holds, or has left in the middle of an operation.

    Args:
        stack: of the Automation API.
        name: the stack's, as the operator gave it.
        project: the project's name.

    Raises:
        OperatorError: STACK_BUSY, OPERATIONS_PENDING; nothing was changed.
    """
    if _is_locked(stack, name.rsplit("/", 1)[-1], project):
        raise OperatorError(
            "STACK_BUSY",
            f"stack {name} is being updated, or an engine that was killed left its lock; nothing was changed",
            f"wait until that update has ended; when none runs any more: pulumi cancel --stack {name}",
        )
    pending = (stack.export_stack().deployment or {}).get("pending_operations") or []
    if pending:
        raise OperatorError(
            "OPERATIONS_PENDING",
            f"a killed engine left operations of stack {name} that may or may not have been made: "
            f"{_described(pending)}; nothing was changed",
            f"pulumi refresh --clear-pending-creates --stack {name}, which looks at what is there; what was created "
            "and is not in the state must then be imported or deleted by hand",
        )


def _is_locked(stack: Any, name: str, project: str) -> bool:
    if any(item.update_in_progress for item in stack.workspace.list_stacks() if item.name.rsplit("/", 1)[-1] == name):
        return True
    # A file backend does not report it: its locks are files.
    address = urlsplit(stack.workspace.who_am_i().url or "")
    if address.scheme != "file":
        return False
    folder = Path(unquote(f"{address.netloc}{address.path}")).expanduser()
    return any((folder / ".pulumi" / "locks").glob(f"*/{project}/{name}/*.json"))


def _described(pending: Sequence[dict[str, Any]]) -> str:
    return "; ".join(f"{item['type']} {item['resource']['urn'].rsplit('::', 1)[-1]}" for item in pending)
