"""The tests. Each module says what a failure would cost."""
