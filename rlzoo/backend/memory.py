"""How the C library hands out memory, for engines that ask it for every array they compute."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of malloc.h
LARGEST = 32 << 20  # bytes; what is larger is still mapped by itself
KEPT = 512 << 20  # bytes at the top of the heap that stay the process's


@cache
def keep_freed_memory() -> None:
    """Have glibc keep what is freed: giving it back and faulting it in again can take a quarter of an update."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
