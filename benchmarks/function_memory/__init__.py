"""How much memory each host needs beside what the program declares for it."""
