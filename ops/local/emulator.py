"""ministack as a subprocess on 127.0.0.1. It is stopped gracefully, because only then it saves its state."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from ops.local.children import start_process
from ops.local.runtime_interface import LOOPBACK
from pipeline.files import replace_file

START_SECONDS = 30.0
STOP_SECONDS = 30.0
ACCOUNT = "000000000000"
REGION = "us-east-1"
UNSAVED_FILE = "unsaved"
"""Exists while the emulator holds more than its directory; left behind when it was killed."""


class EmulatorError(Exception):
    """The emulator did not start or stop; the message names its log."""


class Emulator:
    """One emulator.

    Args:
        directory: its state and its log.
        port: kept between starts, because queue addresses contain it.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.log_file = directory / "ministack.log"

    @property
    def endpoint(self) -> str:
        """Its address, for boto3."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def process_id(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            EmulatorError: when it ends or does not answer in time.
        """
        for name in ("temporary", "state", "objects"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        self._forget_stream_positions()
        environment = {
            **os.environ,
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(self._port),
            "MINISTACK_HOST": LOOPBACK,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "PERSIST_STATE": "1",
            "S3_PERSIST": "1",
            "STATE_DIR": str(self._directory / "state"),
            "S3_DATA_DIR": str(self._directory / "objects"),
            "TMPDIR": str(self._directory / "temporary"),
            "LOG_LEVEL": "WARNING",
        }
        self._process = start_process(
            [sys.executable, "-m", "ministack"], environment, directory=self._directory, log_file=self.log_file
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise EmulatorError(f"ministack ended with {self._process.returncode}; see {self.log_file}")
            if time.monotonic() > deadline:
                self.stop()
                raise EmulatorError(f"ministack did not answer in {START_SECONDS:.0f} s; see {self.log_file}")
            time.sleep(0.05)
        (self._directory / UNSAVED_FILE).touch()

    def stop(self) -> None:
        """Stop it gracefully; its state is saved."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise EmulatorError(f"ministack had to be killed and saved no state; see {self.log_file}") from None
        (self._directory / UNSAVED_FILE).unlink(missing_ok=True)

    def _forget_stream_positions(self) -> None:
        """Have functions begin with a table's next record.

        The emulator saves how many records of a stream a function has read, and not the records. After a start it would
        pass over as many new ones, and the runs in them would wait for the tick.
        """
        saved = self._directory / "state" / "lambda.json"
        if saved.exists():
            state = json.loads(saved.read_text())
            state.get("payload", {}).pop("dynamodb_stream_positions", None)
            replace_file(saved, json.dumps(state))

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=1) as response:  # noqa: S310
                return response.status == 200  # noqa: PLR2004 - HTTP's OK
        except (urllib.error.URLError, OSError):
            return False
