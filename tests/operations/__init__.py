"""What people do to single receipts, and reconciling."""
