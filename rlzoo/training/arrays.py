"""The arrays of a checkpoint: a tree's leaves by their paths, in one file that nothing is run from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from rlzoo.backend import tree

REPLAY = "replay/"  # what the names of the replay's arrays begin with


class Stored(Mapping[str, np.ndarray]):
    """Arrays in a file, each read when it is asked for, so that a replay is not in memory twice."""

    def __init__(self, file: Any, names: list[str]):
        self.file, self.names = file, dict.fromkeys(names)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        return self.file.get_tensor(name)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Part(Mapping[str, np.ndarray]):
    """Those arrays whose names begin with `prefix`, by what follows it."""

    def __init__(self, whole: Mapping[str, np.ndarray], prefix: str):
        self.whole, self.prefix = whole, prefix

    def __getitem__(self, name: str) -> np.ndarray:
        return self.whole[self.prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self.prefix) for name in self.whole if name.startswith(self.prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def stored(path: Path, digests: tuple[str, str], replay: bool) -> Stored:
    """The arrays of a file, with its replay or without.

    `digests` are that of the file and that of what is no replay. Raises ValueError where what is read has another.
    """
    whole, without_replay = digests
    _check_file(path)
    file = safe_open(path, "numpy")  # before its digest: what has the right one is then not another that took its place
    names = list(file.keys())
    wanted = [name for name in names if replay or not name.startswith(REPLAY)]
    found = Stored(file, wanted)
    in_part = len(wanted) < len(names)
    if (digest_without_replay(found) != without_replay) if in_part else (digest(path) != whole):
        raise ValueError("its content is not what manifest.json says")
    return found


def _check_file(path: Path) -> None:
    """Raises ValueError for what could be read without end, such as a pipe or a device."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")


def digest(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits; raises ValueError for what is none."""
    _check_file(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_without_replay(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of all arrays but the replay's, with their names, types and shapes."""
    found = hashlib.sha256()
    for name in sorted(name for name in arrays if not name.startswith(REPLAY)):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def flat(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """The leaves of a tree by their paths, such as `state/parameters`."""
    leaves = (np.asarray(leaf, order="C") for leaf in tree.flatten(arrays)[0])
    return dict(zip(tree.paths(arrays), leaves, strict=True))


def fitted(expected: dict[str, Any], found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The arrays as the tree `expected`, in its order; raises ValueError where one does not fit."""
    leaves, structure = tree.flatten(expected)
    fit = []
    for name, like in zip(tree.paths(expected), leaves, strict=True):
        if name not in found:
            raise ValueError(f"{name} is missing")
        array = found[name]
        if (array.shape, array.dtype) != (like.shape, like.dtype):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected {like.dtype} {like.shape}")
        fit.append(array)
    return tree.unflatten(structure, fit)
