"""Gymnasium spaces: as plain data, so that a saved agent can act without its environment, and as trees of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from rlzoo.backend import tree
from rlzoo.errors import UserError

INFINITE = 1e308  # a bound of infinity, in JSON
SMALLEST_IMAGE = 36  # pixels a side that convolutions need
PART = 50  # numbers that a space or a choice inside another counts for: each is objects and operations of its own
SIZES = {"Box": "shape", "Discrete": "n", "MultiDiscrete": "nvec", "MultiBinary": "n"}  # what says how large each is
KEYS = {
    "Box": {"shape", "dtype", "low", "high"}, "Discrete": {"n", "start"}, "MultiDiscrete": {"nvec", "start"},
    "MultiBinary": {"n"}, "Dict": {"spaces"}, "Tuple": {"spaces"},
}  # fmt: skip


def to_plain(space: spaces.Space) -> dict[str, Any]:
    """A JSON-ready description of a Box, Discrete, MultiDiscrete or MultiBinary space, or a Dict or Tuple of such."""
    if isinstance(space, spaces.Box):
        low, high = _bounds(space)
        return {"kind": "Box", "shape": list(space.shape), "dtype": str(space.dtype), "low": low, "high": high}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": np.asarray(space.n).tolist()}
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": {name: to_plain(part) for name, part in space.items()}}
    if isinstance(space, spaces.Tuple):
        return {"kind": "Tuple", "spaces": [to_plain(part) for part in space]}
    raise UserError(f"space {space} is not supported (Box, Discrete, MultiDiscrete, MultiBinary, Dict and Tuple are)")


def _bounds(space: spaces.Box) -> tuple[Any, Any]:
    """The bounds as plain numbers, as one number where they are the same everywhere."""

    def plain(bound: np.ndarray) -> Any:
        if bound.dtype.kind == "f":
            bound = bound.astype(np.float64)
            bound = np.where(np.isfinite(bound), bound, np.copysign(INFINITE, bound))
        same = bound.size > 0 and np.all(bound == bound.flat[0])
        return (bound.flat[0] if same else bound).tolist()

    return plain(space.low), plain(space.high)


def from_plain(plain: dict[str, Any], largest: float = math.inf) -> spaces.Space:
    """The space that `to_plain` described; raises ValueError for what it cannot have given, and for more numbers in
    all, with one for each choice and `PART` for each part, than `largest`."""
    if largest < math.inf and _size(plain) > largest:
        raise ValueError("a space is larger than the networks")
    kind = plain["kind"]
    if kind == "Box":
        dtype = np.dtype(str(plain["dtype"]))
        if dtype.kind not in "fiub":
            raise ValueError(f"a Box holds numbers, not {dtype}")
        bounds = []
        for key in ("low", "high"):
            bound = np.broadcast_to(np.asarray(plain[key], np.float64 if dtype.kind == "f" else dtype), plain["shape"])
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
    if kind == "Dict":
        parts = [(name, from_plain(part)) for name, part in plain["spaces"].items()]
        return spaces.Dict(parts)  # pairs keep their order, which is that of the features; a dict would be sorted
    if kind == "Tuple":
        return spaces.Tuple([from_plain(part) for part in plain["spaces"]])
    raise ValueError(f"unknown kind of space {kind!r}")


def _size(plain: Any) -> int:
    """Numbers that networks take in or give for a space, and its parts, counted before any is made."""
    kind = plain.get("kind") if isinstance(plain, dict) else None
    if not isinstance(kind, str) or kind not in KEYS or not KEYS[kind] <= set(plain):
        raise ValueError(f"no kind of space, or not all of one: {str(plain)[:100]}")
    if kind in ("Dict", "Tuple"):
        parts = plain["spaces"]
        if not isinstance(parts, dict if kind == "Dict" else list):
            raise ValueError(f"the parts of a {kind} are not {str(parts)[:100]}")
        return sum(map(_size, parts.values() if isinstance(parts, dict) else parts))
    numbers = np.asarray(plain[SIZES[kind]])
    if numbers.size and (numbers.dtype.kind != "i" or (numbers < 0).any()):
        raise ValueError(f"{SIZES[kind]} of a {kind} is not {str(plain[SIZES[kind]])[:100]}")
    whole = numbers.ravel().tolist()
    if kind in ("Discrete", "MultiDiscrete"):
        return sum(whole) + PART * len(whole)
    return max(math.prod(whole), 1) + PART


# ---- observations as trees: a leaf for a Box, Discrete, …; a dict or a tuple for a Dict or Tuple space ---------------
def parts_of(space: spaces.Space) -> dict[Any, spaces.Space] | None:
    """The spaces inside a Dict or a Tuple by their keys; None for any other.

    Raises UserError for keys that a checkpoint, where "a/b" is the "b" in "a", would give back as others.
    """
    if isinstance(space, spaces.Dict):
        for key in space.spaces:
            if not isinstance(key, str):
                raise UserError(f"the keys of {space} are not all text: write {str(key)!r} for {key!r}")
            if "/" in key and (outer := next((o for o in space.spaces if key.startswith(f"{o}/")), None)) is not None:
                raise UserError(f"the keys {outer!r} and {key!r} stand side by side in {space}: rename one")
        return dict(space.spaces)
    return dict(enumerate(space.spaces)) if isinstance(space, spaces.Tuple) else None


def _map(space: spaces.Space, function: Callable[..., Any], *trees: Any) -> Any:
    """A tree of the space's form: `function(space, *leaves)` of each leaf."""
    parts = parts_of(space)
    if parts is None:
        return function(space, *trees)
    made = {key: _map(part, function, *(each[key] for each in trees)) for key, part in parts.items()}
    return made if isinstance(space, spaces.Dict) else tuple(made.values())


def is_bytes(space: spaces.Space) -> bool:
    """Whether observations of this space are of uint8 from 0 to 255, as pixels are."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return False
    return not space.low.any() and bool((space.high == 255).all())


def is_image(space: spaces.Space) -> bool:
    """Whether observations of this space are pixels: uint8 from 0 to 255, three axes, not both sides below 36.

    With other bounds they are numbers, as in Stable-Baselines3. So are smaller ones, which convolutions are not made
    for: a grid of 7 × 7 × 3 such as MiniGrid's is a vector of 147 numbers, taken as they are.
    """
    shape: Any = space.shape
    return is_bytes(space) and len(shape) == 3 and max(shape[:2]) >= SMALLEST_IMAGE


def has_image(space: spaces.Space) -> bool:
    """Whether pixels are among what is observed."""
    parts = parts_of(space)
    return is_image(space) if parts is None else any(map(has_image, parts.values()))


def is_numbers(space: spaces.Space) -> bool:
    """Whether it can be shifted and scaled: a Box, but not of pixels."""
    return isinstance(space, spaces.Box) and not is_image(space)


def example(space: spaces.Space, normalized: bool = False, raw: bool = False) -> Any:
    """One observation of zeros as it is stored: bytes as bytes, integers as int32 if it holds them, else float32.

    What is to be `normalized` only when it is drawn, `raw` until then, keeps its precision: float64 where it needs it.
    """

    def zeros(leaf: Any) -> np.ndarray:
        dtype: Any = leaf.dtype
        if normalized and is_numbers(leaf):
            dtype = np.result_type(dtype, np.float32) if raw else np.float32
        elif dtype != np.uint8:
            dtype = np.int32 if np.issubdtype(dtype, np.integer) and _fits_int32(leaf) else np.float32
        return np.zeros(leaf.shape or (), dtype)

    return _map(space, zeros)


def _fits_int32(space: Any) -> bool:
    """Whether int32 holds every value: a Box may be of larger ones, of which float32 keeps the first seven digits."""
    least, most = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    return not isinstance(space, spaces.Box) or bool((space.low >= least).all() and (space.high <= most).all())


def rows(space: spaces.Space, observation: Any) -> tuple[Any, bool]:
    """An observation, or a batch of them, as arrays with a batch axis, and whether it was one.

    Raises UserError if a shape is not the space's, or for what is no finite number, or none of the space's kind.
    """
    if parts_of(space) is None:
        return _leaf_rows(space, observation)
    single: list[bool] = []
    lengths: list[int] = []

    def of_leaf(leaf: spaces.Space, x: Any) -> np.ndarray:
        array, one = _leaf_rows(leaf, x)
        single.append(one)
        lengths.append(len(array))
        return array

    try:
        found = _map(space, of_leaf, observation)
    except UserError as error:
        wrong = _paths(space)[len(single)]
        raise UserError(f"observation {wrong!r}{str(error).removeprefix('observation')}") from None
    except (KeyError, IndexError, TypeError):
        wrong = _paths(space)[len(single)]
        raise UserError(f"observation is not valid: it has no {wrong!r}, expected one of {space}") from None
    if any(single) != all(single):
        alone = ", ".join(repr(path) for path, one in zip(_paths(space), single) if one)
        raise UserError(f"observation is not valid: its parts are batches, but for {alone}")
    if len(set(lengths)) > 1:
        raise UserError(f"the parts of an observation must be batches of one size, not of {lengths}")
    return found, single[0]


def _paths(space: spaces.Space) -> list[str]:
    """The names of the parts that are arrays, in the order of the space."""
    return tree.paths(example(space))


def _leaf_rows(space: spaces.Space, observation: Any) -> tuple[np.ndarray, bool]:
    if isinstance(observation, tuple) and len(observation) == 2 and isinstance(observation[1], dict):
        mend = "env.reset() gives it beside infos, observation, _ = env.reset()"
        raise UserError(f"observation {observation!r} is not valid: {mend}")
    try:
        array, shape = np.asarray(observation), space.shape or ()
    except ValueError as error:  # rows of several lengths
        raise UserError(f"observation {observation!r} is not valid: {error}") from None
    one = array.shape == shape
    if not one and array.shape[1:] != shape:
        raise UserError(f"observation of shape {array.shape} is not valid: expected {shape} or (N, *{shape})")
    if array.dtype.kind not in "biu":
        array = _finite(space, array)
    if space.dtype is not None and space.dtype.kind in "iu" and not np.can_cast(array.dtype, space.dtype):
        holds = np.iinfo(space.dtype)
        if (wrong := first_outside(array, holds.min, holds.max)) is not None:  # a cast would make another
            raise UserError(f"observation is not valid: it has {wrong}, expected {space.dtype}")
    for choices in choices_in(space, array):
        if (wrong := first_outside(*choices)) is not None:  # of which a network would see zeros
            raise UserError(f"observation is not valid: it has {wrong}, expected one of {space}")
    return (array[None] if one else array), one


def _finite(space: spaces.Space, array: np.ndarray) -> np.ndarray:
    """Floats, or objects that are numbers; raises UserError where they are not finite, or not whole where the space is
    of whole numbers."""
    told = "observation is not valid: it has"
    try:
        if array.dtype.kind not in "fO":  # text and complex numbers, of which NumPy would make floats
            raise TypeError
        floats = array if array.dtype.kind == "f" else array.astype(np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{told} {array.flat[0]!r}, expected numbers") from None
    if not np.isfinite(floats).all():
        where = np.argwhere(~np.isfinite(floats))[0].tolist()
        raise UserError(f"{told} {array[tuple(where)]} at {where}, expected finite numbers")
    if space.dtype is not None and space.dtype.kind in "iu" and (floats % 1).any():
        raise UserError(f"{told} {floats[floats % 1 > 0].flat[0]}, expected whole numbers, {space.dtype}")
    return floats


def choices_in(space: spaces.Space, observation: Any) -> list[tuple[np.ndarray, Any, Any]]:
    """The parts of observations `[..., *shape]` that are choices, each with its lowest and its highest."""
    parts = parts_of(space)
    if parts is not None:
        return [choices for key, part in parts.items() for choices in choices_in(part, observation[key])]
    if isinstance(space, spaces.Discrete):
        return [(observation, int(space.start), int(space.start + space.n) - 1)]
    if isinstance(space, spaces.MultiDiscrete):
        return [(observation, space.start, space.start + space.nvec - 1)]
    return []


def first_outside(part: np.ndarray, lowest: Any, highest: Any) -> Any:
    """The first of these numbers below the lowest or above the highest; None where there is none."""
    wrong = (part < lowest) | (part > highest)
    return part[wrong][0] if wrong.any() else None


def same_bounds(space: spaces.Space, other: spaces.Space) -> bool:
    """Whether actions that one allows are allowed by the other: those of an agent have the bounds it was made with."""
    if not (isinstance(space, spaces.Box) and isinstance(other, spaces.Box)):
        return True
    return np.allclose(space.low, other.low, 1e-6) and np.allclose(space.high, other.high, 1e-6)


def outline(space: spaces.Space) -> dict[str, Any]:
    """What of a space the networks depend on: of a Box not the bounds, but what its numbers are kept as."""
    parts = parts_of(space)
    if parts is not None:
        return {str(key): outline(part) for key, part in parts.items()}
    plain = {name: value for name, value in to_plain(space).items() if name not in ("low", "high", "dtype")}
    return plain | {"kept": str(example(space).dtype), "image": is_image(space)}
