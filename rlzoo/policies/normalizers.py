"""Running normalization of observations and rewards. It belongs to the agent and is saved with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from rlzoo.errors import UserError
from rlzoo.policies.spaces import is_numbers, parts_of

FARTHEST = 10.0  # deviations at which what is normalized is clipped
TRIFLE = 1e-12  # added to variances: far below that of minute returns, and above what rounding makes of a constant


class RunningMoments:
    """Mean and variance of all rows seen so far, in float64 (Chan 1979, parallel update)."""

    def __init__(self, shape: tuple[int, ...]):
        self.mean, self.variance, self.count = np.zeros(shape), np.ones(shape), 0.0  # the variance that none has yet

    def update(self, rows: np.ndarray) -> None:
        """Take in rows `[N, *shape]`."""
        n = len(rows)
        if n == 0:
            return
        mean = np.add.reduce(rows, 0, np.float64) / n
        self.count += n
        share = n / self.count
        difference = mean - self.mean
        change = (1.0 - share) * difference * difference - self.variance
        if n > 1:
            apart = rows - mean
            change += np.add.reduce(apart * apart, 0) / n
        self.mean, self.variance = self.mean + share * difference, self.variance + share * change

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint holds of it."""
        return {"mean": np.asarray(self.mean), "variance": np.asarray(self.variance), "count": np.asarray(self.count)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.mean, self.variance, self.count = arrays["mean"], arrays["variance"], float(arrays["count"])


class ObservationNormalizer:
    """Numbers shifted and scaled to zero mean and unit variance, clipped at ±10. Of a Dict or Tuple, each part that is
    numbers; whatever is not (pixels, choices, masks) stays as it is."""

    def __init__(self, space: spaces.Space):
        parts = parts_of(space) or {}
        self.parts = {key: ObservationNormalizer(part) for key, part in parts.items()}
        self.is_dict = isinstance(space, spaces.Dict)
        self.moments = RunningMoments(space.shape or ()) if is_numbers(space) else None

    @property
    def has_numbers(self) -> bool:
        return self.moments is not None or any(part.has_numbers for part in self.parts.values())

    def update(self, observation: Any) -> None:
        """Take in observations `[N, *shape]`."""
        if self.moments is not None:
            self.moments.update(observation)
        for key, part in self.parts.items():
            part.update(observation[key])

    def __call__(self, observation: Any) -> Any:
        """`[N, *shape]` to the same shape, float32; does not change the moments."""
        if self.parts:
            made = {key: part(observation[key]) for key, part in self.parts.items()}
            return made if self.is_dict else tuple(made.values())
        if self.moments is None:
            return observation
        mean, deviation = self.moments.mean, np.sqrt(self.moments.variance + TRIFLE)
        if observation.dtype == np.float32:  # a batch of the replay: in its own precision in a quarter of the time
            mean, deviation = mean.astype(np.float32), deviation.astype(np.float32)
        return _clipped((observation - mean) / deviation)

    def arrays(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        if self.moments is not None:
            return self.moments.arrays()
        return {str(key): part.arrays() for key, part in self.parts.items() if part.has_numbers}

    def restore(self, arrays: dict[str, Any]) -> None:
        if self.moments is not None:
            self.moments.restore(arrays)
        for key, part in self.parts.items():
            if part.has_numbers:
                part.restore(arrays[str(key)])


class RewardNormalizer:
    """Rewards divided by the standard deviation of the running discounted return, clipped at ±10."""

    def __init__(self, n_envs: int, gamma: float):
        self.moments, self.running, self.gamma = RunningMoments(()), np.zeros(n_envs), gamma

    def update(self, reward: np.ndarray, done: np.ndarray | None, valid: np.ndarray | None = None) -> None:
        """Take in one step's rewards `[N]`.

        `done` is None where no episode ended, and `valid` where no environment reset instead of a step.
        """
        self.running = self.running * self.gamma + reward
        self.moments.update(self.running if valid is None else self.running[valid])
        if done is not None:
            self.running[done] = 0.0

    def __call__(self, reward: np.ndarray) -> np.ndarray:
        """Rewards by the present deviation, float32; does not change it."""
        return _clipped(reward / math.sqrt(self.moments.variance + TRIFLE))

    def arrays(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return self.moments.arrays()

    def restore(self, arrays: dict[str, Any]) -> None:
        self.moments.restore(arrays)


def _clipped(x: np.ndarray) -> np.ndarray:
    """x held between ±10, float32. It is written over."""
    np.maximum(x, -FARTHEST, out=x)
    return np.minimum(x, FARTHEST, out=x).astype(np.float32, copy=False)


def normalizers(space: spaces.Space, config: Any) -> dict[str, Any]:
    """What a config asks to be normalized, "observation" and "reward"; raises UserError where nothing can be."""
    made: dict[str, Any] = {}
    if config.normalize_observation:
        made["observation"] = ObservationNormalizer(space)
        if not made["observation"].has_numbers:
            raise UserError(f"normalize_observation is for vectors of numbers, not for {space}: set it to false")
    if config.normalize_reward:
        made["reward"] = RewardNormalizer(config.n_envs, config.gamma)
    return made
