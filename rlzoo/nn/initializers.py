"""Initial weights, drawn in NumPy so that they are the same on every engine.

Each is `initializer(rng, shape, gain) -> float32 array`. The last axis of `shape` is the output axis; the product of
the others is the fan-in (so `[inputs, units]` and `[h, w, channels, filters]` both work).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Initializer = Callable[[np.random.Generator, tuple[int, ...], float], np.ndarray]


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    return int(np.prod(shape[:-1])), shape[-1]


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0) -> np.ndarray:
    """Orthonormal rows or columns, times `gain` (Saxe 2013)."""
    fan_in, fan_out = _fans(shape)
    tall = rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))
    return (gain * (q if fan_in >= fan_out else q.T)).reshape(shape).astype(np.float32)


def xavier_uniform(rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0) -> np.ndarray:
    """Uniform with variance 2 / (fan_in + fan_out), times gain² (Glorot 2010)."""
    bound = gain * np.sqrt(6.0 / sum(_fans(shape)))
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def he_uniform(rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0) -> np.ndarray:
    """Uniform with variance 2 / fan_in, times gain² (He 2015); for relu."""
    bound = gain * np.sqrt(6.0 / _fans(shape)[0])
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def fan_in_uniform(rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0) -> np.ndarray:
    """Uniform within ±gain / √fan_in: PyTorch's default for linear layers, which published DQN and SAC results use."""
    bound = gain / np.sqrt(_fans(shape)[0])
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def fan_in_bias(rng: np.random.Generator, fan_in: int, units: int, gain: float = 1.0) -> np.ndarray:
    """A bias `[units]` drawn as `fan_in_uniform` draws its kernel."""
    bound = gain / np.sqrt(fan_in)
    return rng.uniform(-bound, bound, units).astype(np.float32)


def zeros(*shape: int) -> np.ndarray:
    """Zeros of this shape, float32."""
    return np.zeros(shape, np.float32)


def ones(*shape: int) -> np.ndarray:
    """Ones of this shape, float32."""
    return np.ones(shape, np.float32)
