"""Whether what will be held fits into memory: known beforehand, for systems promise more than they have."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from rlzoo.errors import warn

MEMINFO = Path("/proc/meminfo")


def available() -> int | None:
    """Bytes that can be had, where Linux says; elsewhere all that the machine has, None where that is not known."""
    with suppress(OSError, ValueError, KeyError):
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text(encoding="ascii").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    with suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def warn_unless_it_fits(name: str, count: int, size: int) -> None:
    """Warn where so many things, a field's value, take more bytes in all than are available: none is refused yet.

    `size` is what they take at the least.
    """
    room = available()
    if room is not None and size > room:
        warn(
            f"{name} = {count:,} takes {size / 1e9:,.2f} GB once it is full, and {room / 1e9:,.2f} GB of memory are "
            f"available: a process that runs out is killed; lower {name} below {count * room // size:,}"
        )
