"""``python -m ops.ci.comment``: what ``pulumi preview`` said, as a comment on a pull request.

Refusals and failures come first and unfolded; the plan is folded. The plan quotes data and the program of a pull
request, so nothing in it can end the code block or act on the page, and a long one is cut to what GitHub takes.
"""

import argparse
import re
import sys
from pathlib import Path

LONGEST_COMMENT = 65_536
"""Characters of a comment's body (GitHub REST API, issue comments: it answers 422 to more)."""
LONGEST_SECTION = 20_000
"""Characters of the unfolded part; the plan gets the rest."""
SECTIONS = ("Diagnostics:", "Policies:")
"""Headings of the CLI's output below which it says what refuses, fails or warns."""
SUMMARY = "Resources:"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
CUT = "\n... cut; the job's log has all of it ...\n"


def comment(stack: str, output: str, exit_code: int) -> str:
    """The body of the comment, in Markdown.

    Args:
        stack: its name.
        output: of ``pulumi preview``, without colours.
        exit_code: of the same.
    """
    plain = CONTROL.sub("", output).strip() or "pulumi said nothing"
    told = "\n\n".join(text for heading in SECTIONS if (text := section(plain, heading)))
    changes = [line.strip(" +-~") for line in section(plain, SUMMARY).splitlines()[1:]]
    outcome = f"failed with exit code {exit_code}" if exit_code else ", ".join(changes) or "ended"
    parts = [f"### `pulumi preview` of `{stack.replace('`', '')}`: {outcome}"]
    if told:
        parts.append(fenced(shortened(told, LONGEST_SECTION)))
    head, tail = "<details><summary>The whole plan</summary>\n\n", "\n\n</details>\n"
    room = LONGEST_COMMENT - sum(len(part) + 2 for part in parts) - len(head) - len(tail)
    # The fence is longer than any run of backticks in the plan, which may be a long one.
    longest_fence = 2 * (longest_run(plain) + 4) + len("text\n\n")
    parts.append(head + fenced(shortened(plain, room - longest_fence)) + tail)
    return "\n\n".join(parts)


def section(output: str, heading: str) -> str:
    """A heading of the output with what is indented below it; empty when it is not there."""
    lines = output.splitlines()
    if heading not in lines:
        return ""
    start = lines.index(heading)
    below = next((at for at in range(start + 1, len(lines)) if lines[at] and not lines[at][0].isspace()), len(lines))
    return "\n".join(lines[start:below]).rstrip()


def shortened(text: str, length: int) -> str:
    """A text without its middle when it is longer than ``length``."""
    if len(text) <= length:
        return text
    kept = max(length - len(CUT), 0)
    return text[: kept - kept // 2] + CUT + text[len(text) - kept // 2 :]


def longest_run(text: str) -> int:
    """The longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)


def fenced(text: str) -> str:
    """A text in a code block that nothing in it can end."""
    fence = "`" * max(3, longest_run(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def main() -> None:
    """Read the output of a preview and write the comment to standard output."""
    parser = argparse.ArgumentParser(prog="python -m ops.ci.comment", description="A preview as a comment.")
    parser.add_argument("output", type=Path, help="what `pulumi preview` wrote")
    parser.add_argument("--stack", required=True)
    parser.add_argument("--exit-code", type=int, required=True)
    arguments = parser.parse_args()
    sys.stdout.write(comment(arguments.stack, arguments.output.read_text(errors="replace"), arguments.exit_code))


if __name__ == "__main__":
    main()
