"""Noise on deterministic actions, made of standard normals that are handed in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class GaussianNoise:
    """The normals themselves: each step's noise is its own."""

    def __call__(self, normal: np.ndarray) -> np.ndarray:
        return normal


class OrnsteinUhlenbeckNoise:
    """x ← x − θ x Δt + √Δt ε, from 0: noise that lingers (Uhlenbeck 1930; Lillicrap 2016, section 7)."""

    def __init__(self, theta: float = 0.15, dt: float = 1e-2):
        self.theta, self.dt = theta, dt
        self.state: np.ndarray | None = None

    def __call__(self, normal: np.ndarray) -> np.ndarray:
        """The next noise `[N, actions]` of each environment, from as many normals."""
        before = np.zeros_like(normal) if self.state is None else self.state
        self.state = before * np.float32(1.0 - self.theta * self.dt) + np.float32(self.dt**0.5) * normal
        return self.state


NOISES: dict[str, Callable[[], Callable[[np.ndarray], np.ndarray]]] = {
    "gaussian": GaussianNoise,
    "ornstein_uhlenbeck": OrnsteinUhlenbeckNoise,
}
