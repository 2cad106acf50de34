"""What the class of an algorithm has to give, looked at when its agent is made: mistakes of its author, in one line."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlzoo.backend import tree
from rlzoo.errors import UserError


def checked_state(name: str, state: Any) -> dict[str, Any]:
    """The state of learning that `initial_state` gave, as NumPy arrays.

    Raises UserError where it has no parameters, and for a leaf that not every engine keeps as it is, or that could not
    be told from another in a checkpoint.
    """
    if not isinstance(state, dict) or "parameters" not in state:
        has = list(state) if isinstance(state, dict) else type(state).__name__
        raise UserError(f'initial_state of {name} gives no "parameters" but {has}: add "parameters": flat')
    state = tree.map(np.asarray, state)
    paths = tree.paths(state)
    for path, leaf in zip(paths, tree.flatten(state)[0], strict=True):
        where = "state" + "".join(f"[{key if key.isdigit() else repr(key)}]" for key in path.split("/"))
        if leaf.dtype.kind not in "biuf":
            raise UserError(f"{where} of {name} is {leaf.dtype}: make it an array of float32, int32 or bool")
        if leaf.dtype.itemsize > 4:  # of which JAX keeps half
            mend = "float32" if leaf.dtype.kind == "f" else "int32"
            raise UserError(f"{where} of {name} is {leaf.dtype}: make it {mend}")
        if paths.count(path) > 1:
            raise UserError(f"two arrays in the state of {name} are called {path!r}: rename one")
    return state


def check_metrics(name: str, metrics: Any, columns: list[str]) -> None:
    """Raises UserError unless metrics are a sequence of names, each once and none that of another column of a run."""
    if not isinstance(metrics, tuple | list) or not all(isinstance(each, str) for each in metrics):
        raise UserError(f"metrics = {metrics!r} of {name} is not valid: it must be a tuple of names, such as ('loss',)")
    for each in metrics:
        if metrics.count(each) > 1:
            raise UserError(f"metrics of {name} name {each!r} twice: rename one")
        if each in columns:
            raise UserError(f"metrics of {name} name {each!r}, which is a column of every run: rename it")


def named_metrics(name: str, metrics: tuple[str, ...], values: Any) -> dict[str, float]:
    """What an update reported, by name; raises UserError unless it is a vector with a number for each."""
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        found = f"metrics of shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise UserError(f"{name} reports {found}, not a vector: ops.stack([…]) of {', '.join(metrics)} makes one")
    if len(values) != len(metrics):
        raise UserError(f"{name} reports {len(values)} metrics, and names {metrics}")
    return dict(zip(metrics, values.tolist(), strict=True))
