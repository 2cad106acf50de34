"""The rollout: T steps of N environments, written in place, handed whole to the update."""

from __future__ import annotations

import numpy as np


class RolloutBuffer:
    """Arrays `[T, N, ...]` that each rollout overwrites.

    `next_observation` is the state each step really led to, also where the environment was reset after it; `valid` is
    0 where an environment spent the step resetting, so that nothing is learned from it.
    """

    def __init__(self, n_steps: int, n_envs: int, observation: tuple[tuple[int, ...], type],
                 action: tuple[tuple[int, ...], type]):  # fmt: skip
        size = (n_steps, n_envs)
        (observation_shape, observation_dtype), (action_shape, action_dtype) = observation, action
        self.observation: np.ndarray = np.zeros((*size, *observation_shape), observation_dtype)
        self.next_observation = np.zeros_like(self.observation)
        self.action: np.ndarray = np.zeros((*size, *action_shape), action_dtype)
        self.reward = np.zeros(size, np.float32)
        self.terminated = np.zeros(size, np.float32)
        self.done = np.zeros(size, np.float32)
        self.valid = np.ones(size, np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """What the update reads: views, to be copied by the engine before the next rollout."""
        return dict(vars(self))
