"""Small programs that a team might write, good and bad; each is run under the recording engine."""
