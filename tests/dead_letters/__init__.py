"""Dead letters: what they are, which ones were meant, and what becomes of them."""
