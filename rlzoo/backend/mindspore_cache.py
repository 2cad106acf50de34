"""Keeps on disk what MindSpore compiles."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore.graph import api

from rlzoo.backend import cache, source

ENABLE, ANYHOW, PATH = "MS_COMPILER_CACHE_ENABLE", "MS_DEV_FORCE_USE_COMPILE_CACHE", "MS_COMPILER_CACHE_PATH"
OPS = Path(__file__).with_name("mindspore.py")
_numbers, _lock = itertools.count(), threading.Lock()


@contextmanager
def kept(module: source.Module, leaves: Sequence[Any]) -> Iterator[None]:
    """What is compiled within, `module` for arrays like `leaves`, is read from disk, or else written there.

    MindSpore keeps what it compiles in one folder a process, under a number that counts it, and takes what it finds
    there for the same program. So its folder goes with the process, and a program is copied to its place there and from
    it, to and from a file that is named after all that the program is made from. Where the user has turned this on or
    off, that stands.
    """
    folder = None if ENABLE in os.environ else cache.folder("mindspore", ms.__version__)
    if folder is None:
        yield
        return
    with _lock:
        kept, its = folder / f"{_digest(module, leaves)}.mindir", Path(source.folder())
        place = its / "rank_0/graph_cache" / f"compile_cache_{next(_numbers)}.mindir"
        _fetch(kept, place)
        with _turned_on(its):
            yield
        _keep(place, kept)


@contextmanager
def _turned_on(folder: Path) -> Iterator[None]:
    """Keeping is turned on, without a look at the files that the process began with: a REPL began with none."""
    began_with = getattr(api, "entry_script_path", None)
    api.entry_script_path = None
    os.environ |= {ENABLE: "1", ANYHOW: "1", PATH: str(folder)}
    try:
        yield
    finally:
        for name in (ENABLE, ANYHOW, PATH):
            del os.environ[name]
        api.entry_script_path = began_with


def _fetch(kept: Path, place: Path) -> None:
    """A copy of what is kept, if it is, at a place among nothing else."""
    place.parent.mkdir(parents=True, exist_ok=True)
    for other in place.parent.iterdir():
        other.unlink()
    with suppress(OSError):
        shutil.copyfile(kept, place)


def _keep(place: Path, kept: Path) -> None:
    """Keep what was written there: whole, or not at all if it cannot be."""
    begun = kept.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        if not kept.exists() or kept.stat().st_size != place.stat().st_size:  # new, or it was broken
            shutil.copyfile(place, begun)
            begun.replace(kept)


def _digest(module: source.Module, leaves: Sequence[Any]) -> str:
    """A name for a program: its text, its constants, what it is given, the ops it calls, MindSpore's settings."""
    settings = sorted(item for item in os.environ.items() if item[0].startswith("MS_"))
    shapes = [(leaf.shape, str(leaf.dtype)) for leaf in leaves]
    constants = [(name, value.shape, value.dtype.str, value.tobytes()) for name, value in module.constants.items()]
    parts = (module.text, OPS.read_text(encoding="utf-8"), settings, shapes, constants)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
