"""The stack on one machine: its engine, its functions, its workers and its emulator, each alone."""
