"""What is measured, and how to measure it again. Run by people, not by the gate."""
