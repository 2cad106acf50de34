"""The rollout: T steps of N environments, written in place, handed whole to the update."""

from __future__ import annotations

from functools import cached_property

import numpy as np

KEPT = ("observation", "next_observation", "action", "reward", "terminated", "truncated")


class RolloutBuffer:
    """Arrays `[T, N, ...]` that each rollout overwrites: `clear`, then every step's own, then `close`.

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
        self.truncated = np.zeros(size, np.float32)
        self.valid = np.ones(size, np.float32)

    def clear(self) -> None:
        """Begin a rollout in which no episode ends and every step counts, unless its row is written otherwise."""
        self.terminated.fill(0.0)
        self.truncated.fill(0.0)
        self.valid.fill(1.0)

    def close(self, last: np.ndarray, ends: list[tuple[int, np.ndarray]]) -> None:
        """Fill `next_observation`: each step led to where the next begins, the final one to `last`, all but `ends`.

        These are steps `t` after which an environment was reset, and the observations `[N, ...]` they led to.
        """
        self.next_observation[:-1] = self.observation[1:]
        self.next_observation[-1] = last
        for t, observation in ends:
            self.next_observation[t] = observation

    def arrays(self) -> dict[str, np.ndarray]:
        """What the update reads, most of it views, to be copied by the engine before the next rollout."""
        done = np.maximum(self.terminated, self.truncated)
        return {name: getattr(self, name) for name in KEPT if name != "truncated"} | {"valid": self.valid, "done": done}

    def transitions(self) -> dict[str, np.ndarray]:
        """What the replay keeps: the steps that count, `[n, ...]`, those of one time side by side; views if all do."""
        if np.count_nonzero(self.valid) == self.valid.size:
            return self._rows
        counts = self.valid.reshape(-1) > 0.0
        return {name: x[counts] for name, x in self._rows.items()}

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        arrays = {name: getattr(self, name) for name in KEPT}
        return {name: x.reshape(-1, *x.shape[2:]) for name, x in arrays.items()}
