"""What went wrong, said to the person who can mend it: one line with the value, the nearest valid one and the mend."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable
from numbers import Real
from typing import Any


class UserError(ValueError):
    """A mistake in what was asked for. The command line prints its message alone and exits with status 2."""


class RlzooWarning(UserWarning):
    """What may not be what was meant, and does not stop what was asked for."""


def warn(message: str) -> None:
    """Warn at the line that called rlzoo, wherever within it this is noticed."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "rlzoo":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RlzooWarning, stacklevel=level)


def nearest(value: str, valid: Iterable[str], cutoff: float = 0.5) -> str:
    """" — did you mean X?" if some valid name is as near as `cutoff` or nearer, else the empty string."""
    by_lower = {name.lower(): name for name in valid}
    found = difflib.get_close_matches(str(value).lower(), by_lower, n=1, cutoff=cutoff)
    return f" — did you mean {by_lower[found[0]]!r}?" if found else ""


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """The value as an int, also of a float such as 1e5; raises UserError unless it is whole and at least `least`."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or value % 1 != 0 or value < least:  # the remainder of what is not finite is none
        raise UserError(f"{name} = {value!r} is not valid: it must be a whole number of at least {least}")
    return int(value)


def number(name: str, value: Any) -> int | float:
    """The value as an int or a float, also of an array of no axes; raises UserError for what is no number."""
    try:
        return value if type(value) is int else float(value)
    except (TypeError, ValueError):
        raise UserError(f"{name} = {value!r} is not valid: it must be a number") from None


def installing(extra: str) -> str:
    """How to install an extra: from a checkout, for rlzoo is on no package index yet."""
    return f"run pip install '.[{extra}]' in a checkout of rlzoo"


def printable(text: object) -> str:
    """A stranger's text with escapes, such as \\x1b, for all that does not print."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(text))
