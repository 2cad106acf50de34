"""State-dependent exploration (gSDE; Raffin 2021, arXiv 2005.05719): noise that is a function of the features.

An action is μ(s) + z(s)ᵀ (σ ⊙ ε): z the last hidden layer of the actor, σ `[features, actions]` learned, ε drawn once
for many steps, so that the same state is answered the same way. Of one step alone it is a Gaussian, of variance
z(s)² σ², which is what losses take. As in Stable-Baselines3, SAC's and TQC's losses learn z(s) for its sake too; those
of on-policy algorithms send no gradient through it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlzoo.backend import ops
from rlzoo.nn import Layer, Sequential

Array = Any


def features_and_mean(actor: Layer, params: dict[str, Any], x: Array) -> tuple[Array, Array]:
    """z(s), the last hidden layer, and what the last layer makes of it."""
    layers: Any = actor.layers  # type: ignore[attr-defined]
    hidden = Sequential(layers[:-1])(params, x)
    return hidden, layers[-1](params[str(len(layers) - 1)], hidden)


def log_deviation(features: Array, log_std: Array) -> Array:
    """log √(z² σ²), `[N, actions]` (Raffin 2021, section 3)."""
    variance = ops.matmul(ops.square(features), ops.exp(2.0 * log_std))
    return 0.5 * ops.log(variance + 1e-6)


def explored(mean: Array, features: Array, log_std: Array, noise: Array) -> Array:
    """μ + zᵀ (σ ⊙ ε) with ε `[N, features, actions]`."""
    return mean + ops.sum(ops.expand_dims(features, -1) * (ops.exp(log_std) * noise), 1)


def noise(rng: np.random.Generator, batch: tuple[int, int], size: tuple[int, int], every: int) -> np.ndarray:
    """ε for T steps of N environments, `[T, N, *size]`, a new one each `every` steps."""
    n_steps, n_envs = batch
    draws = rng.standard_normal((-(-n_steps // every), n_envs, *size), np.float32)
    return np.repeat(draws, min(every, n_steps), 0)[:n_steps]
