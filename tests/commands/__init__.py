"""The commands as a person or a program meets them: wrong calls, completion, logs, doctor, waits."""
