"""The acting side of learning: one step of every environment at a time, in NumPy, with its books kept."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from rlzoo.envs import Stepper, Transition
from rlzoo.policies.normalizers import ObservationNormalizer, RewardNormalizer


class Episodes:
    """Returns and lengths of the last 100 finished episodes."""

    def __init__(self, n_envs: int):
        self.returns: deque[float] = deque(maxlen=100)
        self.lengths: deque[int] = deque(maxlen=100)
        self.finished = 0
        self.restart(n_envs)

    def plain(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"finished": self.finished, "returns": list(self.returns), "lengths": list(self.lengths)}

    def restore(self, plain: dict[str, Any]) -> None:
        self.finished = plain["finished"]
        self.returns.extend(plain["returns"])
        self.lengths.extend(plain["lengths"])

    def restart(self, n_envs: int) -> None:
        """Forget the episodes under way."""
        self.running, self.length = np.zeros(n_envs), np.zeros(n_envs, np.int64)

    def add(self, step: Transition) -> None:
        self.running += step.reward
        self.length += step.valid
        done = step.terminated | step.truncated
        if done.any():
            self.returns.extend(self.running[done].tolist())
            self.lengths.extend(self.length[done].tolist())
            self.finished += int(done.sum())
            self.running[done], self.length[done] = 0.0, 0


class Collector:
    """Steps the environments of an agent: observations cast and normalized, rewards normalized, episodes counted."""

    def __init__(self, stepper: Stepper, episodes: Episodes, dtype: Any,
                 normalize_observation: ObservationNormalizer | None,
                 normalize_reward: RewardNormalizer | None):  # fmt: skip
        self.stepper, self.episodes, self.dtype = stepper, episodes, dtype
        self.normalize_observation, self.normalize_reward = normalize_observation, normalize_reward
        self.raw: Any = None  # the observations that the next actions are chosen for, as the environment gave them

    def reset(self, seed: int) -> None:
        """Begin new episodes in every environment; those under way are given up."""
        self.raw = np.asarray(self.stepper.reset(seed))
        self.episodes.restart(self.stepper.n_envs)
        if self.normalize_observation is not None:
            self.normalize_observation.moments.update(self.raw)
        if self.normalize_reward is not None:
            self.normalize_reward.running[:] = 0.0

    def step(self, env_action: np.ndarray) -> Transition:
        """One step of each environment; the reward is normalized, observations are as the environment gave them."""
        step = self.stepper.step(env_action)
        self.raw = step.observation
        self.episodes.add(step)
        if self.normalize_observation is not None:
            self.normalize_observation.moments.update(step.observation)
        if self.normalize_reward is not None:
            scaled = self.normalize_reward(step.reward, step.terminated | step.truncated)
            step = step._replace(reward=scaled)
        return step

    def prepared(self, observation: np.ndarray) -> np.ndarray:
        """What the networks see of raw observations: normalized, or cast to the stored type."""
        if self.normalize_observation is not None:
            return self.normalize_observation(observation)
        return observation if observation.dtype == self.dtype else observation.astype(self.dtype)
