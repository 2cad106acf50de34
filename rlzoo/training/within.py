"""What is written in a run's folder, which may be a stranger's, changes nothing elsewhere."""

from __future__ import annotations

import errno
import os
import stat


def opener(path: str, flags: int) -> int:
    """For `open`, of a file to be written; raises OSError where a link, a pipe or a folder is in its place."""
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no file of its own", path)
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
