"""Running normalization of observations and rewards. It belongs to the agent and is saved with it."""

from __future__ import annotations

import numpy as np


class RunningMoments:
    """Mean and variance of all rows seen so far, in float64 (Chan 1979, parallel update)."""

    def __init__(self, shape: tuple[int, ...]):
        self.mean, self.variance, self.count = np.zeros(shape), np.ones(shape), np.array(1e-4)

    def update(self, rows: np.ndarray) -> None:
        """Take in rows `[N, *shape]`."""
        n = len(rows)
        if n == 0:
            return
        rows = rows.astype(np.float64)
        mean, variance, total = rows.mean(0), rows.var(0), self.count + n
        difference = mean - self.mean
        spread = self.variance * self.count + variance * n + difference**2 * self.count * n / total
        self.mean, self.variance, self.count = self.mean + difference * n / total, spread / total, total

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint holds of it."""
        return {"mean": np.asarray(self.mean), "variance": np.asarray(self.variance), "count": np.asarray(self.count)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.mean, self.variance, self.count = arrays["mean"], arrays["variance"], arrays["count"]


class ObservationNormalizer:
    """Observations shifted and scaled to zero mean and unit variance, clipped at ±10."""

    def __init__(self, shape: tuple[int, ...], clip: float = 10.0):
        self.moments, self.clip = RunningMoments(shape), clip

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """`[N, *shape]` to the same shape, float32; does not change the moments."""
        scaled = (observation - self.moments.mean) / np.sqrt(self.moments.variance + 1e-8)
        return np.clip(scaled, -self.clip, self.clip).astype(np.float32)


class RewardNormalizer:
    """Rewards divided by the standard deviation of the running discounted return, clipped at ±10."""

    def __init__(self, n_envs: int, gamma: float, clip: float = 10.0):
        self.moments, self.running, self.gamma, self.clip = RunningMoments(()), np.zeros(n_envs), gamma, clip

    def __call__(self, reward: np.ndarray, done: np.ndarray | None) -> np.ndarray:
        """Take in one step's rewards `[N]` and give them scaled, float32. `done` is None where no episode ended."""
        self.running = self.running * self.gamma + reward
        self.moments.update(self.running)
        if done is not None:
            self.running[done] = 0.0
        return np.clip(reward / np.sqrt(self.moments.variance + 1e-8), -self.clip, self.clip).astype(np.float32)
