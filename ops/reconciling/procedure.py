"""The command ``receipts reconcile``: look at both collections and say what differs; repair, and look again."""

from dataclasses import asdict
from typing import Any

from ops.console import Output
from ops.reconciling.comparison import Finding
from ops.reconciling.looking import Reconciliation, reconcile
from ops.reconciling.repair import Repaired, repair
from ops.reconciling.showing import show_reconciliations
from ops.target import Target
from ops.waiting import wait_for_runs
from pipeline.contracts.identifiers import COLLECTIONS


def run_reconcile(output: Output, target: Target, *, mend: bool, timeout_seconds: float) -> dict[str, Any]:
    """Reconcile, and repair if wanted.

    Args:
        output: where progress and findings go.
        target: the stack.
        mend: whether to repair.
        timeout_seconds: how long to wait for the runs of a repair.

    Returns:
        The result for ``--json``; ``findings`` is what is left.
    """
    found = _look(output, target)
    document: dict[str, Any] = {"found": _findings(found)}
    if mend and any(finding.repair for item in found for finding in item.findings):
        document["repaired"] = _mend(output, target, found, timeout_seconds)
        found = _look(output, target)
    document["findings"] = _findings(found)
    document["collections"] = [
        {
            "collection": item.collection,
            "version": item.version,
            "rows": item.rows,
            "missed": item.missed,
            "deltas": item.deltas,
            "superseded": item.superseded,
        }
        for item in found
    ]
    return document


def _look(output: Output, target: Target) -> list[Reconciliation]:
    found = []
    with output.progress("comparing", len(COLLECTIONS)) as bar:
        for collection in COLLECTIONS:
            found.append(reconcile(target, collection))
            bar.set(len(found))
    show_reconciliations(output, found)
    return found


def _mend(output: Output, target: Target, found: list[Reconciliation], timeout_seconds: float) -> dict[str, Any]:
    with output.progress("repairing", sum(len(item.findings) for item in found)) as bar:
        repaired: Repaired = repair(target, found, bar.set)
    with output.progress("merging", len(repaired.runs)) as bar:
        result = wait_for_runs(target, repaired.runs, timeout_seconds=timeout_seconds, on_progress=bar.wait)
    return {
        "completed": len(result.completed),
        "failed": [run.run_id for run in result.failed],
        "still_waiting": [run.run_id for run in result.missing],
        "deltas_deleted": repaired.deltas,
        "postponed": [receipt._asdict() for receipt in repaired.postponed],
    }


def _findings(found: list[Reconciliation]) -> list[dict[str, Any]]:
    return [_as_document(finding) for item in found for finding in item.findings]


def _as_document(finding: Finding) -> dict[str, Any]:
    receipt = finding.receipt
    return asdict(finding) | {"receipt": None if receipt is None else receipt._asdict()}
