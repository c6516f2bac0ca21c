"""Where the stack on this machine keeps its files, by name. It imports nothing, so that every command may ask it."""

from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
DEFAULT_STATE_DIRECTORY = SOURCE / ".receipts" / "local"
PORTS_FILE = "ports.json"
DEFINITIONS_FILE = "processes.json"
TIMELINE_FILE = "timeline.jsonl"
LOGS_DIRECTORY = "logs"
