"""What a reconciliation found, for people: a line for each collection and for each difference."""

from collections.abc import Sequence

from ops.console import Output, styled
from ops.reconciling.looking import Reconciliation


def show_reconciliations(output: Output, found: Sequence[Reconciliation]) -> None:
    """A line a collection and a line a finding."""
    for item in found:
        version = item.version or "no version yet"
        output.say(
            f"{item.collection}: {item.rows} rows in {version}, {len(item.runs)} runs "
            f"({item.superseded} of them superseded by later events), {item.deltas} deltas"
            + (f", {item.missed} texts ranked beside the Chroma collection, which misses them" if item.missed else "")
        )
        for finding in item.findings:
            receipt = finding.receipt
            where = f" receipt {receipt.receipt_id} of image {receipt.image_id}" if receipt else ""
            run = f" run {finding.run_id}" if finding.run_id else ""
            mended = f"; repair: {finding.repair}" if finding.repair else ""
            way_out = f"; {finding.way_out}" if finding.way_out else ""
            detail = f"{where}{run}: {finding.detail}{mended}{way_out}"
            output.say("  ", styled(finding.difference, "red"), detail)
        if not item.findings:
            output.say("  ", styled("nothing differs", "green"))
