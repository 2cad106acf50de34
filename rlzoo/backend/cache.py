"""Where compilations are kept between runs, so that the second start of the same training waits for none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "RLZOO_CACHE"  # a folder, or "off"


def folder(engine: str) -> Path | None:
    """The folder of an engine's compilations, made if need be; None where there is to be none, or none can be made.

    `RLZOO_CACHE` names the folder above it, or "off"; without, it is `rlzoo` in the user's cache folder.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen == "off":
        return None
    found = (Path(chosen) if chosen else _of_user()) / engine
    try:
        found.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return found if os.access(found, os.W_OK) else None


def _of_user() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "rlzoo" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/rlzoo"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlzoo"
