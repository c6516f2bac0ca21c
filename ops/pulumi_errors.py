"""What Pulumi's CLI and engine say when they fail, as operators' errors. No command is run here.

The cause of a failed update is in the engine's diagnostic events. A command that has no events, or fails before the
first one, writes ``error: ...`` to standard error. The end of the output is no cause: it is the list of outputs.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from semver import VersionInfo

from ops.errors import OperatorError

CAUSE_LENGTH = 2_000
"""Characters of a cause that are passed on; the whole output was shown while the command ran."""
COLOURS = re.compile(r"<\{%.*?%\}>")
"""Pulumi's own markup of colours in diagnostic messages."""
TRACEBACK = "Traceback (most recent call last):"
OUTCOME = re.compile(r"(update|preview|refresh|destroy) failed|non-zero exit code: \d+")
"""How diagnostics end that only say that there was an error."""
LIST = re.compile(r"\d+ errors? occurred:")
"""The head of a list of errors, each of which follows an asterisk."""
STANDARD_ERROR = "\n stderr: "
"""What precedes standard error in the text of the Automation API's CommandError, which has no attribute for it."""
CLI = "pulumi"
OLDEST_CLI = VersionInfo(3, 182)
"""It has resource hooks, by which a switch waits (pulumi's CHANGELOG, 3.182.0)."""
INSTALL = "https://www.pulumi.com/docs/iac/download-install/"
WITHOUT_CLI = "the stack on this machine, --stack local, needs none"


class Diagnostics:
    """The errors in the event stream of one update or preview."""

    def __init__(self) -> None:
        self._errors: list[str] = []

    def note(self, event: Any) -> None:
        """Take one event of the Automation API; whatever is no error is passed over."""
        diagnostic = getattr(event, "diagnostic_event", None)
        if diagnostic is None or diagnostic.severity != "error":
            return
        message = in_a_line(COLOURS.sub("", diagnostic.message))
        resource = resource_name(diagnostic.urn or "")
        error = f"{resource}: {message}" if resource else message
        # The engine repeats the program's message, after words of its own.
        if message and not any(error.endswith(known) for known in self._errors):
            self._errors.append(error)

    def cause(self) -> str:
        """The errors in one line, in the order in which they came; empty when there was none."""
        causes = [error for error in self._errors if not _is_outcome(error)]
        return "; ".join(causes or self._errors)[:CAUSE_LENGTH]


def _is_outcome(error: str) -> bool:
    return any(found.end() == len(error) for found in OUTCOME.finditer(error))


def resource_name(urn: str) -> str:
    """The name in a resource's URN; empty for the stack's own, and for no URN."""
    parts = urn.split("::")
    if len(parts) < 4 or parts[2] == "pulumi:pulumi:Stack":  # noqa: PLR2004 - urn:pulumi:stack, project, type, name
        return ""
    return "::".join(parts[3:])


def in_a_line(message: str) -> str:
    """A message of one or more lines as one; of a traceback only what was raised is kept."""
    head, found, trace = message.partition(TRACEBACK)
    lines = [line.strip() for line in head.splitlines()]
    if found:
        lines += [line for line in trace.splitlines() if line.strip()][-1:]
    kept = [line.removeprefix("error: ").removeprefix("* ").rstrip(".") for line in lines if not LIST.fullmatch(line)]
    return "; ".join(line for line in kept if line).replace(":; ", ": ")


def told_by(error: Exception) -> str:
    """The cause in the standard error of a command that failed, in one line.

    Args:
        error: a CommandError of the Automation API.
    """
    _, _, written = str(error).partition(STANDARD_ERROR)
    lines = [line for line in written.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if line.startswith("error: ")), 0)
    return in_a_line("\n".join(lines[first:]))[:CAUSE_LENGTH] or "the Pulumi CLI failed and said nothing"


def explained(error: Exception, stack_name: str, code: str, way_out: str, cause: str = "") -> OperatorError:
    """A failure of the Pulumi CLI as an operator's error.

    Args:
        error: what the Automation API raised.
        stack_name: the stack that was asked for.
        code: of a failure that has no code of its own.
        way_out: of the same.
        cause: what the engine's events said; preferred to the command's text.
    """
    if cause:
        return OperatorError(code, cause, way_out)
    return (
        _of_the_installation(error, stack_name)
        or _of_the_backend(error, stack_name)
        or OperatorError(code, told_by(error), way_out)
    )


def _of_the_installation(error: Exception, stack_name: str) -> OperatorError | None:
    from pulumi import automation  # noqa: PLC0415 - only stacks on AWS need it

    if isinstance(error, FileNotFoundError | PermissionError):
        return OperatorError(
            "PULUMI_MISSING",
            f"stack {stack_name!r} is asked of the Pulumi CLI, and there is none on the PATH",
            f"check the stack's name; install the CLI ({INSTALL}); {WITHOUT_CLI}",
        )
    if isinstance(error, automation.InvalidVersionError | subprocess.CalledProcessError):
        fitting = f"install {metadata.version('pulumi')}, or a newer version of the same major one ({INSTALL})"
        return OperatorError("PULUMI_VERSION", _version(error), fitting)
    return None


def _of_the_backend(error: Exception, stack_name: str) -> OperatorError | None:
    from pulumi import automation  # noqa: PLC0415 - only stacks on AWS need it

    told = told_by(error)
    if isinstance(error, automation.ConcurrentUpdateError):
        return OperatorError(
            "STACK_BUSY",
            "somebody else is updating the stack; nothing was changed",
            "wait until that update has ended; `pulumi cancel` only when none runs any more",
        )
    if isinstance(error, automation.StackNotFoundError):
        return OperatorError(
            "STACK_UNKNOWN",
            f"Pulumi's backend has no stack {stack_name!r}",
            "`pulumi stack ls` lists its stacks; the stack on this machine is --stack local",
        )
    if "for login" in told or "pulumi login" in told:
        return OperatorError(
            "PULUMI_LOGIN",
            "the Pulumi CLI is not logged in to the backend that keeps the stack",
            "`pulumi login`, or set PULUMI_ACCESS_TOKEN or PULUMI_BACKEND_URL",
        )
    if "passphrase" in told:
        return OperatorError(
            "PULUMI_PASSPHRASE",
            f"the passphrase of stack {stack_name!r} is {'wrong' if 'incorrect' in told else 'not set'}",
            "set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it",
        )
    return None


def _version(error: Exception) -> str:
    versions = re.findall(r"\d+\.\d+\.\d+\S*\b", str(error))
    if isinstance(error, subprocess.CalledProcessError):
        return f"`pulumi version` failed with exit code {error.returncode}"
    if len(versions) == 2:  # noqa: PLR2004 - what is needed, and what was found
        return f"the Pulumi CLI is version {versions[1]}, and at least {versions[0]} is needed"
    if "parse" in str(error):
        return "the Pulumi CLI on the PATH gives no version that can be read"
    return f"the Pulumi CLI and the pulumi package do not go together: {in_a_line(str(error))}"


@contextmanager
def explaining(stack_name: str, code: str, way_out: str, cause: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Raise a failure of the Pulumi CLI as an operator's error; for the arguments see ``explained``."""
    from pulumi import automation  # noqa: PLC0415 - only stacks on AWS need it

    failures = (
        automation.CommandError,
        automation.InvalidVersionError,
        subprocess.CalledProcessError,
        FileNotFoundError,
        PermissionError,
    )
    try:
        yield
    except failures as error:
        if isinstance(error, FileNotFoundError | PermissionError) and error.filename != CLI:
            raise
        raise explained(error, stack_name, code, way_out, cause()) from error
