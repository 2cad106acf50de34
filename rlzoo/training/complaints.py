"""What to say of files that cannot be read: one line, and nothing in it that a terminal obeys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from rlzoo.errors import UserError, printable


def brief(error: BaseException) -> str:
    """An error's text on one line, and not a long one."""
    text = str(error)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        text = f"{where}: {first['msg']}" if where else first["msg"]
    text = printable(" ".join(text.split()))
    return text if len(text) < 300 else text[:300] + " …"


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Raises UserError where the system does not let this path be read."""
    try:
        yield
    except OSError as error:
        reason = f"cannot read {printable(error.filename or path)} ({error.strerror})"
        raise UserError(f"{reason}: name the folder of a run or of a saved agent that you may read") from None
