"""``make docs``: fills the blocks of the documents that are made of the code; a test fails when one is out of date.

A block is between ``<!-- generated: name arguments -->`` and ``<!-- end -->``. Everything else is written by hand.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from compaction_worker import worker
from one_consumer.audit.judgement import MEANINGS as FINDINGS
from one_consumer.claim.refusals import MEANINGS as CLAIM_REFUSALS
from ops.cost import tables
from ops.preflight.judgement import MEANINGS as OBSTACLES
from ops.reconciling.comparison import MEANINGS as DIFFERENCES
from ops.run_time_codes import RUN_TIME_CODES
from ops.switching.checks import CHECK_TITLES
from ops.switching.plan import plan
from pipeline.files import replace_file
from stack.alarm_rules import ALARMS, PERIOD_SECONDS, AlarmRule
from stack.errors import MEANINGS as REFUSALS

PROJECT_DIRECTORY = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w-]+)(?P<arguments>(?: [\w-]+)*) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(head: str, rows: Iterable[tuple[str, str]]) -> str:
    return f"{head}\n| --- | --- |\n" + "".join(f"| {first} | {second} |\n" for first, second in rows)


def _refusals() -> str:
    return _table(
        "| code | refused |",
        ((f"`{code}`", meaning) for code, meaning in sorted((*REFUSALS.items(), *CLAIM_REFUSALS.items()))),
    )


def _findings() -> str:
    return _table("| finding | what it means |", ((f"`{code}`", meaning) for code, meaning in FINDINGS.items()))


def _obstacles() -> str:
    return _table("| code | what it means |", ((f"`{code}`", meaning) for code, meaning in OBSTACLES.items()))


def _differences() -> str:
    return _table("| difference | what it means |", ((f"`{code}`", meaning) for code, meaning in DIFFERENCES.items()))


def _exit_codes() -> str:
    return _table(
        "| exit code | why the worker ended |", ((str(code), why) for code, why in worker.EXIT_MEANINGS.items())
    )


def _alarm(rule: AlarmRule) -> str:
    measured = ", ".join(
        f"`{reading.metric}` ({reading.namespace}, {reading.statistic})" for reading in rule.readings.values()
    )
    math = f", as `{rule.expression}`" if rule.expression else ""
    minutes = PERIOD_SECONDS // 60
    window = f"{rule.breaching} of {rule.periods} periods of {minutes} minutes"
    beyond = "below" if rule.is_low else "above"
    return (
        f"### `{rule.name}`\n\n{rule.meaning} {rule.action}\n\n"
        f"- One for: {' and '.join(_each(kind) for kind in rule.kinds)}.\n"
        f"- Measured: {measured}{math}. It rings {beyond} {rule.limit}, in {window}.\n"
        f"- Why: {rule.why}\n"
        f"- More: `{rule.command.format(subject='<stage>')}`\n"
    )


def _each(kind: str) -> str:
    only = {"merge": "the merge function", "worker": "the worker", "stack": "the stack"}
    return only.get(kind, f"each {kind}")


def _alarms() -> str:
    return "\n".join(map(_alarm, ALARMS))


def _run_time_codes() -> str:
    head = "| code | | what has happened | what to do |\n| --- | --- | --- | --- |\n"
    return head + "".join(
        f"| `{code}` | {advice.course} | {advice.meaning} | {advice.action} |\n"
        for code, advice in RUN_TIME_CODES.items()
    )


def _plan(current: str, wanted: str) -> str:
    steps = plan(current, wanted)  # type: ignore[arg-type]
    return "".join(f"{number}. `{step.resource}`: {step.action}.\n" for number, step in enumerate(steps, 1))


def _checks() -> str:
    return "".join(f"{number}. {title}\n" for number, title in enumerate(CHECK_TITLES, 1))


GENERATORS: dict[str, Callable[..., str]] = {
    "refusals": _refusals,
    "findings": _findings,
    "differences": _differences,
    "obstacles": _obstacles,
    "exit-codes": _exit_codes,
    "alarms": _alarms,
    "run-time-codes": _run_time_codes,
    "plan": _plan,
    "checks": _checks,
    "prices": tables.prices,
    "idle-month": tables.idle_month,
    "loaded-months": tables.loaded_months,
    "picture-months": tables.picture_months,
    "model-times": tables.times,
    "saturation": tables.saturation,
    "scale": tables.scale,
}


def filled(text: str) -> str:
    """A document with its blocks generated again."""
    return BLOCK.sub(lambda block: block[1] + GENERATORS[block["name"]](*block["arguments"].split()) + block[4], text)


def documents() -> list[Path]:
    """Every document of the project."""
    return [
        *(PROJECT_DIRECTORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *sorted((PROJECT_DIRECTORY / "docs").rglob("*.md")),
    ]


def main() -> None:
    """Fill them all."""
    for path in documents():
        before = path.read_text()
        if (after := filled(before)) != before:
            replace_file(path, after)


if __name__ == "__main__":
    main()
