"""Losses: tiny pure functions of errors and targets, `[N]` unless they say otherwise."""

from __future__ import annotations

from typing import Any

from rlzoo.backend import ops

Array = Any


def mean(x: Array, weight: Array | None = None) -> Array:
    """The mean of `[N]` numbers; with weights Σ w x / N, as importance weights and steps that do not count want it."""
    return ops.mean(x) if weight is None else ops.mean(x * weight)


def huber(error: Array, kappa: float = 1.0) -> Array:
    """½ e² where |e| < κ, beyond that κ (|e| − ½ κ) (Huber 1964), elementwise."""
    size = ops.abs(error)
    return ops.where(ops.less(size, kappa), 0.5 * ops.square(error), kappa * (size - 0.5 * kappa))


def smallest(values: tuple[Array, ...]) -> Array:
    """The smallest of several critics' values, elementwise."""
    least = values[0]
    for value in values[1:]:
        least = ops.minimum(least, value)
    return least
