"""What the verbs of `ops` are given, looked at while a function is traced: one error for all engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from rlzoo.backend import tree
from rlzoo.errors import UserError

_RETURN = "return (value, auxiliary), where the auxiliary tree may be None"


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array of any engine, or of a number."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def loss(function: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """`function(arrays) -> (scalar, auxiliary)`, which raises UserError where it returns anything else."""

    def checked(arrays: list[Any]) -> Any:
        returned = function(arrays)
        if returned is None:
            raise UserError(f"the loss returned nothing: {_RETURN}")
        if not isinstance(returned, tuple | list):
            what = f"an array of shape {shape_of(returned)}" if hasattr(returned, "shape") else type(returned).__name__
            raise UserError(f"the loss returned {what} alone: {_RETURN}")
        if len(returned) != 2:
            raise UserError(f"the loss returned {len(returned)} values: {_RETURN}")
        value = returned[0]
        if value is None or isinstance(value, dict | tuple | list):
            raise UserError(f"the loss has the value {value!r:.60}, not one number: {_RETURN}")
        if shape_of(value) != ():
            raise UserError(f"the loss has shape {shape_of(value)}, not one number: take its mean")
        return returned

    return checked


def step(function: Callable[..., Any], carry: Any) -> Callable[..., Any]:
    """A fold's step, which raises where it does not return a carry of the structure it was given, and an output."""
    structure = tree.flatten(carry)[1]

    def checked(*arguments: Any) -> tuple[Any, Any]:
        returned = function(*arguments)
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            what = "nothing" if returned is None else f"{type(returned).__name__}, not two values"
            raise UserError(f"a fold's step returned {what}: return (carry, output), where the output may be None")
        if tree.flatten(returned[0])[1] != structure:
            raise TypeError("a fold's step must return a carry of the structure it was given, dicts in the same order")
        return returned[0], returned[1]

    return checked


def inputs(stepped: Any) -> None:
    """Raises UserError unless all arrays of a fold's inputs are equally long along their leading axis."""
    shapes = list(zip(tree.paths(stepped), map(shape_of, tree.flatten(stepped)[0]), strict=True))
    if not shapes:
        raise UserError("a fold has no inputs to step over: give it an array with a row for each step")
    lengths = Counter(shape[0] for _, shape in shapes if shape)
    length = lengths.most_common(1)[0][0] if lengths else "one row each"
    for path, shape in shapes:
        if shape[:1] != (length,):
            name = f" {path!r}" if path else ""
            raise UserError(f"the input{name} of a fold has shape {shape}: its leading axis counts the steps, {length}")
