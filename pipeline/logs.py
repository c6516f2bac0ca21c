"""One JSON object a log line, the same on every host; configured when an entry point asks, never at import."""

import logging
import os
import sys

from pythonjsonlogger.json import JsonFormatter

from pipeline.metrics import METADATA_FIELD


def configure_logging(level: str | None = None) -> None:
    """Send the root logger's lines to standard error as JSON; called by an entry point's bootstrap, once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger", METADATA_FIELD: "_aws"},
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level or os.environ.get("LOG_LEVEL", "INFO"))
    for chatty in ("botocore", "urllib3", "httpx", "openai", "chromadb"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
