"""Losses: tiny pure functions of errors and targets, `[N]` unless they say otherwise."""

from __future__ import annotations

from typing import Any

from rlzoo.backend import ops

Array = Any


def batch_mean(x: Array, weight: Array | None = None) -> Array:
    """Σ w x / N, for what is drawn from a replay: its weights have a mean of their own already. Without, the mean."""
    return ops.mean(x) if weight is None else ops.mean(x * weight)


def valid_mean(x: Array, weight: Array | None = None) -> Array:
    """Σ w x / Σ w, for a rollout: the weight is 0 at steps that do not count, 1 at the others. Without, the mean."""
    if weight is None:
        return ops.mean(x)
    return ops.sum(x * weight) / ops.maximum(ops.sum(weight), 1.0)


def huber(error: Array, kappa: float = 1.0) -> Array:
    """½ e² where |e| < κ, beyond that κ (|e| − ½ κ) (Huber 1964), elementwise.

    As c (e − ½ c), where c is e held within ±κ: with c held fixed its derivative is c, which is the loss's own.
    """
    held = ops.stop_gradient(ops.clip(error, -kappa, kappa))
    return held * (error - 0.5 * held)


def smallest(values: tuple[Array, ...]) -> Array:
    """The smallest of several critics' values, elementwise."""
    least = values[0]
    for value in values[1:]:
        least = ops.minimum(least, value)
    return least
