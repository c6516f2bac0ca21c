"""Reads a picture in a process of its own: one that hangs is killed, one that crashes ends no other process.

Decoders and engine are large C libraries, and the bytes are anybody's. So the child has none of this process's
variables, and with them no credentials, bounded memory and a bounded time.
"""

import os
import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

from pipeline.errors import SHOWN_CHARACTERS, ErrorCode, RetryableError
from upload_images.pictures.answer import Answer
from upload_images.pictures.limits import READING_SECONDS

SOURCE = Path(__file__).resolve().parents[2]
PASSED_ON = ("PATH", "LANG", "TZ", "PYTHONDONTWRITEBYTECODE")
ONE_THREAD = {"OMP_THREAD_LIMIT": "1", "OPENBLAS_NUM_THREADS": "1"}
"""The function has about one processor: more threads only wait for each other, and each reserves memory."""


def read_in_child(content: bytes, *, seconds: float = READING_SECONDS) -> Answer:
    """Read a picture.

    Args:
        content: the file.
        seconds: after which the child is killed.

    Raises:
        PermanentError: the child's refusal of the picture, as ``reading.read_picture``.
        RetryableError: RECOGNITION_FAILED when the child was killed, crashed or said nothing.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "upload_images.pictures.reading"],
            input=content,
            capture_output=True,
            cwd=SOURCE,
            env={**environment, **ONE_THREAD},
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(f"it was not read within {seconds:g} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-SHOWN_CHARACTERS:]
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise _failed(f"the process that read it ended with {ended}: {said or 'it said nothing'}")
    try:
        answer = Answer.model_validate_json(done.stdout)
    except ValidationError as error:
        raise _failed(f"the process that read it said nothing that is known: {error.errors()[0]['msg']}") from error
    if answer.fault is not None:
        raise answer.fault.error()
    return answer


def _failed(value: str) -> RetryableError:
    return RetryableError(
        ErrorCode.RECOGNITION_FAILED,
        value=value,
        rule="a picture is read within its time, by a process that ends by itself",
        way_out="it is read again, a few times; save the picture smaller and as JPEG, and upload that",
    )
