"""Nested containers of arrays: what a compiled function takes and returns.

A tree is an array, None, or a dict, tuple, named tuple or list of trees. Dicts keep the order they were built in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Structure = Any  # hashable description of a tree without its leaves
LEAF: Structure = "*"


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of `tree`, left to right, and the structure that `unflatten` needs to put them back."""
    leaves: list[Any] = []
    return leaves, _describe(tree, leaves)


def _describe(tree: Any, leaves: list[Any]) -> Structure:
    if isinstance(tree, dict):
        return (dict, tuple(tree), tuple(_describe(child, leaves) for child in tree.values()))
    if isinstance(tree, tuple | list):
        return (type(tree), None, tuple(_describe(child, leaves) for child in tree))
    if tree is None:
        return None
    leaves.append(tree)
    return LEAF


def unflatten(structure: Structure, leaves: list[Any]) -> Any:
    """The tree of that structure with these leaves; the inverse of `flatten`."""
    return _build(structure, iter(leaves))


def _build(structure: Structure, leaves: Any) -> Any:
    if structure is LEAF or structure == LEAF:
        return next(leaves)
    if structure is None:
        return None
    kind, keys, children = structure
    built = [_build(child, leaves) for child in children]
    if kind is dict:
        return dict(zip(keys, built, strict=True))
    return kind(*built) if hasattr(kind, "_fields") else kind(built)


def paths(tree: Any, prefix: str = "") -> list[str]:
    """The names of the leaves in the order of `flatten`: keys and positions joined by "/"; "" for a lone leaf."""
    if isinstance(tree, dict | tuple | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [path for key, child in items for path in paths(child, f"{prefix}/{key}" if prefix else str(key))]
    return [] if tree is None else [prefix]


def map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with `function` applied to each leaf."""
    if not isinstance(tree, dict | tuple | list) and tree is not None:
        return function(tree)
    leaves, structure = flatten(tree)
    return unflatten(structure, [function(leaf) for leaf in leaves])


def at(tree: Any, i: int) -> Any:
    """The i-th along the leading axis of every leaf."""
    return tree[i] if isinstance(tree, np.ndarray) else map(lambda leaf: leaf[i], tree)


def loop(step: Callable[..., Any], carry: Any, inputs: Any, constants: Any, stack: Callable[[Any], Any]) -> Any:
    """`ops.fold` as a plain Python loop, for what runs or traces it step by step; `stack` joins a column of outputs."""
    leaves, structure = flatten(inputs)
    outputs = []
    for i in range(leaves[0].shape[0]):
        carry, output = step(carry, unflatten(structure, [leaf[i] for leaf in leaves]), constants)
        outputs.append(flatten(output))
    stacked = [stack(column) for column in zip(*(leaves for leaves, _ in outputs), strict=True)]
    return carry, unflatten(outputs[0][1], stacked)
