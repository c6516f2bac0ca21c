"""The infrastructure program under a recording engine."""
