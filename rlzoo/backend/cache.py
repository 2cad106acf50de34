"""Where compilations are kept between runs, so that the second start of the same training waits for none."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

VARIABLE = "RLZOO_CACHE"  # a folder, or "off"
ROOM = 1 << 28  # bytes free on a disk, below which nothing is kept there


def folder(*names: str) -> Path | None:
    """The folder of an engine's compilations, made if need be; None where there is to be none, or none can be made.

    `names` are the engine's and whatever else its compilations depend on. `RLZOO_CACHE` names the folder above it, or
    "off"; without, it is `rlzoo` in the user's cache folder.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen == "off":
        return None
    try:
        found = (Path(chosen) if chosen else _of_user()).joinpath(*names)
        found.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the latter of a user who has no home
        return None
    return found if os.access(found, os.W_OK) and shutil.disk_usage(found).free > ROOM else None


def tensorflow_folder() -> Path | None:
    """The folder of TensorFlow's compilations: it looks at neither its version nor the processor when it reads them."""
    version = _version("tensorflow", "tensorflow-cpu")
    return folder("tensorflow", version, _processor()) if version else None


def tensorflow_flags(flags: str) -> str:
    """TF_XLA_FLAGS, with which TensorFlow keeps them there, unless the user has told it where."""
    option = "--tf_xla_persistent_cache_directory"
    if option in flags or (kept := tensorflow_folder()) is None:
        return flags
    return f'{flags} {option}="{kept}"'.lstrip()


def forget_tensorflow() -> None:
    """Remove what TensorFlow keeps there."""
    kept = tensorflow_folder()
    for file in kept.glob("xla_compile_cache*") if kept is not None else ():
        file.unlink(missing_ok=True)


def _version(*distributions: str) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _processor() -> str:
    """A name for what this machine's processor can do: a user's cache folder may be that of several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    known = {line for line in lines if line.lower().startswith(("model name", "flags", "features"))}
    words = "\n".join(sorted(known)) or platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"


def _of_user() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "rlzoo" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/rlzoo"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlzoo"
