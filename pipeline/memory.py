"""Giving freed memory back to the system. It knows nothing of what was freed.

A merge allocates large things one after the other, deltas and then an index, in several threads. The GNU C library
keeps what was freed, for each thread that used it, and the function is charged for the sum of the peaks.
"""

import ctypes


def give_back() -> None:
    """Return the C library's free memory; nothing happens where it is not the GNU one, which alone can be asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
