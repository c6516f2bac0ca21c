"""The live view: what is gathered, and how a terminal shows it."""
