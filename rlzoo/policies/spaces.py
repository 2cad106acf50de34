"""Gymnasium spaces as plain data, so that a saved agent can act without its environment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from rlzoo.errors import UserError

INFINITE = 1e308  # a bound of infinity, in JSON


def to_plain(space: spaces.Space) -> dict[str, Any]:
    """A JSON-ready description of a Box, Discrete, MultiDiscrete or MultiBinary space."""
    if isinstance(space, spaces.Box):
        low, high = (np.where(np.isfinite(x), x, np.copysign(INFINITE, x)).tolist() for x in _bounds(space))
        return {"kind": "Box", "shape": list(space.shape), "dtype": str(space.dtype), "low": low, "high": high}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": np.asarray(space.n).tolist()}
    raise UserError(f"space {space} is not supported (supported: Box, Discrete, MultiDiscrete, MultiBinary)")


def _bounds(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """The bounds in float64, as one number where they are the same everywhere."""
    bounds = [bound.astype(np.float64) for bound in (space.low, space.high)]
    low, high = (np.asarray(x.flat[0]) if x.size and np.all(x == x.flat[0]) else x for x in bounds)
    return low, high


def from_plain(plain: dict[str, Any], largest: float = math.inf) -> spaces.Space:
    """The space that `to_plain` described; raises ValueError for a Box of more than `largest` numbers."""
    kind = plain["kind"]
    if kind == "Box":
        dtype = np.dtype(str(plain["dtype"]))
        if dtype.kind not in "fiu":
            raise ValueError(f"a Box holds numbers, not {dtype}")
        if math.prod(plain["shape"]) > largest:
            raise ValueError(f"a space of shape {plain['shape']} is larger than the networks")
        bounds = []
        for key in ("low", "high"):
            bound = np.broadcast_to(np.asarray(plain[key], np.float64), plain["shape"])
            if dtype.kind == "f":
                bound = np.where(np.abs(bound) >= INFINITE, np.copysign(np.inf, bound), bound)
            bounds.append(bound.astype(dtype))
        return spaces.Box(bounds[0], bounds[1], tuple(plain["shape"]), dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(plain["n"], start=plain["start"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(np.asarray(plain["nvec"]), start=np.asarray(plain["start"]))
    if kind == "MultiBinary":
        return spaces.MultiBinary(plain["n"])
    raise ValueError(f"unknown kind of space {kind!r}")
