"""What went wrong, said to the person who can mend it: one line with the value, the nearest valid one and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what was asked for. The command line prints its message alone and exits with status 2."""


def nearest(value: str, valid: Iterable[str], cutoff: float = 0.5) -> str:
    """" — did you mean X?" if some valid name is as near as `cutoff` or nearer, else the empty string."""
    by_lower = {name.lower(): name for name in valid}
    found = difflib.get_close_matches(str(value).lower(), by_lower, n=1, cutoff=cutoff)
    return f" — did you mean {by_lower[found[0]]!r}?" if found else ""
