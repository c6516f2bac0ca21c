"""Freed memory goes back to the system where the C library can be asked, and elsewhere nothing breaks."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.memory import give_back

PIECES, PIECE_BYTES = 2_000, 64 * 1024
"""Smaller than what the C library asks the system for by itself."""


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not the GNU one")
def test_what_was_freed_below_what_is_still_used_goes_back():
    pieces = [b"\1" * PIECE_BYTES for _ in range(PIECES)]
    # The last stays, and with it, without asking, all that is below.
    last = pieces.pop()
    del pieces
    before = resident_bytes()
    give_back()
    assert before - resident_bytes() > PIECES * PIECE_BYTES / 2
    assert last


def test_a_library_that_cannot_be_asked_is_left_alone(monkeypatch):
    """Those of musl and macOS have no such function."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    give_back()
