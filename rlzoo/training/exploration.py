"""Noise on deterministic actions, made of standard normals that are handed in."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Exploration(Protocol):
    """What becomes of the noise drawn for each step; whoever acts has one of his own, for it may remember."""

    def __call__(self, noise: Any) -> Any:
        """The noise of the next step of N environments, from what was drawn for it."""

    def reset(self, done: np.ndarray) -> None:
        """Begin anew where episodes do, `[N]` bool."""


class IndependentNoise:
    """What was drawn itself, of whatever distribution: each step's noise is its own."""

    def __call__(self, noise: Any) -> Any:
        return noise

    def reset(self, done: np.ndarray) -> None:
        pass


class OrnsteinUhlenbeckNoise:
    """x ← x − θ x Δt + √Δt ε, from 0 in each episode: it lingers (Uhlenbeck 1930; Lillicrap 2016, algorithm 1).

    With these θ and Δt, OpenAI Baselines' and Stable-Baselines3's, its deviation is 0.1 after a step, 0.93 after a
    hundred and in the end 1.83.
    """

    def __init__(self, theta: float = 0.15, dt: float = 1e-2):
        self.theta, self.dt = theta, dt
        self.state: np.ndarray | None = None

    def __call__(self, noise: np.ndarray) -> np.ndarray:
        """The next noise `[N, actions]` of each environment, from as many normals."""
        before = np.zeros_like(noise) if self.state is None else self.state
        self.state = before * np.float32(1.0 - self.theta * self.dt) + np.float32(self.dt**0.5) * noise
        return self.state

    def reset(self, done: np.ndarray) -> None:
        if self.state is not None:
            self.state = np.where(done[:, None], np.float32(0.0), self.state)


class HeldNoise:
    """Each draw of `every` steps, or until the episode ends: how state-dependent exploration acts after training."""

    def __init__(self, every: int):
        self.every, self.age = every, np.zeros(0, np.int64)
        self.kept: Any = None

    def __call__(self, noise: np.ndarray) -> np.ndarray:
        """The noise `[N, ...]` kept, or what was drawn now where it is time for another."""
        if self.kept is None:
            self.kept, self.age = noise, np.zeros(len(noise), np.int64)
        fresh = (self.age % self.every == 0).reshape(-1, *[1] * (noise.ndim - 1))
        self.kept, self.age = np.where(fresh, noise, self.kept), self.age + 1
        return self.kept

    def reset(self, done: np.ndarray) -> None:
        self.age = np.where(done, 0, self.age) if self.kept is not None else self.age


NOISES: dict[str, type[Exploration]] = {
    "gaussian": IndependentNoise,
    "ornstein_uhlenbeck": OrnsteinUhlenbeckNoise,
}
