"""The live view of a stack: one snapshot, gathered once a second, shown in a terminal or by the local page."""
