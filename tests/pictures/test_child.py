"""The process that meets foreign bytes. A failure here stops the function, or runs code with its rights."""

import time
from pathlib import Path
from typing import Any

import pytest

from ops.rendering import encode
from pipeline.errors import PermanentError, RetryableError
from tests.pictures import files
from upload_images.pictures import child
from upload_images.pictures.child import read_in_child


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of Python: a shell script that the test writes."""
    program = tmp_path / "python"
    program.touch(0o755)
    monkeypatch.setattr(child.sys, "executable", str(program))
    return program


def test_a_picture_is_read() -> None:
    answer = read_in_child(encode(files.receipt()))
    assert len(answer.documents) == 1


def test_a_refusal_is_the_same_error_here() -> None:
    with pytest.raises(PermanentError) as raised:
        read_in_child(b"text")
    assert raised.value.code == "PICTURE_UNREADABLE"
    assert "begins like no kind" in raised.value.value


def test_one_that_takes_too_long_is_killed(stand_in: Path) -> None:
    started = stand_in.with_name("started")
    stand_in.write_text(f"#!/bin/sh\necho $$ > {started}\nexec sleep 600\n")
    before = time.monotonic()
    with pytest.raises(RetryableError) as raised:
        read_in_child(b"picture", seconds=0.5)
    assert time.monotonic() - before < 60
    assert (raised.value.code, raised.value.value) == ("RECOGNITION_FAILED", "it was not read within 0.5 s")
    assert not Path(f"/proc/{started.read_text().strip()}").exists()


def test_one_that_crashes_is_told_with_its_signal_and_its_last_words(stand_in: Path) -> None:
    stand_in.write_text("#!/bin/sh\necho 'Assert failed:in file tessbox.cpp' >&2\nkill -ABRT $$\n")
    with pytest.raises(RetryableError) as raised:
        read_in_child(b"picture")
    assert "ended with signal 6: Assert failed" in raised.value.value


def test_one_that_says_something_else_is_told(stand_in: Path) -> None:
    stand_in.write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(RetryableError, match="said nothing that is known"):
        read_in_child(b"picture")


def test_the_child_has_no_credentials(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = stand_in.with_name("told")
    stand_in.write_text(f"#!/bin/sh\nenv > {told}\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with pytest.raises(RetryableError):
        read_in_child(b"picture")
    assert "secret" not in told.read_text()


def test_a_picture_that_needs_too_much_memory_is_refused_and_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # 59 million pixels in colour need 178 MB; the child may have 150 MB more than Python with its libraries, which is
    # enough for the engine.
    program = (
        "import sys; from pathlib import Path; from upload_images.pictures import reading;"
        "taken = int(Path('/proc/self/statm').read_text().split()[0]) * 4096;"
        "reading.CHILD_MEMORY_BYTES = taken + 150 * 1024 * 1024; sys.exit(reading.main())"
    )
    run = child.subprocess.run

    def limited(command: list[str], **options: Any) -> object:
        return run([command[0], "-c", program], **options)

    monkeypatch.setattr(child.subprocess, "run", limited)
    with pytest.raises(PermanentError) as raised:
        read_in_child(files.huge_png(7_700, 7_700, in_colour=True))
    assert raised.value.code == "PICTURE_TOO_LARGE"
