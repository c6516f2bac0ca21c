"""How fast the merge is beside Chroma alone: production's own merger, measured. Run by people, never by the gate."""
