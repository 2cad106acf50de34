"""A run is trained by one process at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

from rlzoo.errors import UserError
from rlzoo.training.within import opener

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl: Any = None  # type: ignore[no-redef]

NAME = ".lock"


def claim(folder: Path) -> IO[str]:
    """Claim a run's folder until the file given back is closed, or the process ends in whatever way.

    Raises UserError if another process has claimed it, or if nothing can be written there.
    """
    path = folder / NAME
    try:
        file = open(path, "a+", encoding="utf-8", errors="replace", opener=opener)  # noqa: SIM115
        if not _locked(file):
            owner = _owner(file)
            file.close()
            raise UserError(f"{folder} is being trained by another process ({owner}): wait for its end, or stop it")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): to train, a run's folder must be writable") from None
    return file


def _locked(file: IO[str]) -> bool:
    """Lock the file; False if another process has. Where there are no such locks, none has."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without them
    os.register_at_fork(after_in_child=file.close)  # a worker that outlives this process shall not hold it
    return True


def _owner(file: IO[str]) -> str:
    file.seek(0)
    number = file.read(20)
    return f"PID {number}" if number.isdecimal() else "PID unknown"
