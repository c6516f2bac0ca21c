"""What an account must have before an update, and what it would refuse."""
