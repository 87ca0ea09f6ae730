"""Gives memory back to the system after large bodies.

The C library of Linux raises the size from which a block gets pages of its own up to the largest block freed so far,
and gives each thread a heap of its own. After that, bodies of 20 MiB come out of the heaps of whichever threads handle
them, and stay there: ``custodes serve`` held 1 GB after a few rounds of hostile bodies; with these settings, 300 MB.
"""

from __future__ import annotations

import ctypes

# From malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_OWN_PAGES_BYTES = 2 * 1024 * 1024
_TRIM_BYTES = 32 * 1024 * 1024
# The interpreter's lock lets threads allocate one after the other nearly always.
_HEAPS = 2


def return_large_blocks() -> bool:
    """Make blocks of 2 MiB and more go back to the system when they are freed. Call it before starting threads.

    Returns whether the C library knows how; where it does not, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES), (_M_TRIM_THRESHOLD, _TRIM_BYTES), (_M_ARENA_MAX, _HEAPS))
    return all(mallopt(name, value) for name, value in wanted)
