"""Histories to fill replay buffers with, whose every step is known, and the loops that buffers are compared to."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from rlzoo.backend import tree
from rlzoo.buffers import ReplayBuffer

OBSERVATION, ACTION = np.zeros(2, np.float32), np.zeros((), np.int32)
GAMMA = 0.9


class History:
    """T steps of N environments: episodes of random lengths, half of them truncated, and steps spent on resets.

    Every step observes [environment, time] and leads to [environment, time + ½], which is observed nowhere: so whatever
    a buffer gives tells from where it came.
    """

    def __init__(self, n_steps: int, n_envs: int, seed: int = 0, resets: bool = False, ends: float = 0.25):
        rng = np.random.default_rng(seed)
        shape = n_steps, n_envs
        done, cut = rng.random(shape) < ends, rng.random(shape) < 0.5
        self.valid = np.ones(shape, bool)
        if resets:  # as under NEXT_STEP: the step after an end is no step, and does not end
            for t in range(1, n_steps):
                self.valid[t] = ~(done[t - 1] & self.valid[t - 1])
            done &= self.valid
        self.terminated, self.truncated = done & ~cut, done & cut
        self.reward = np.where(self.valid, rng.standard_normal(shape), 1e6).astype(np.float32)

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Steps `start` to `stop` as a buffer takes them."""
        t, i = np.meshgrid(np.arange(start, stop), np.arange(self.reward.shape[1]), indexing="ij")
        flat = {name: getattr(self, name)[start:stop].reshape(-1) for name in ("reward", "terminated", "truncated")}
        observation = np.stack([i, t], -1).reshape(-1, 2).astype(np.float32)
        return {
            "observation": observation, "next_observation": observation + np.float32([0.0, 0.5]),
            "action": (t % 7).reshape(-1).astype(np.int32), **{k: v.astype(np.float32) for k, v in flat.items()},
            "valid": self.valid[start:stop].reshape(-1).astype(np.float32),
        }  # fmt: skip

    def n_steps(self, i: int, t: int, n: int, newest: int) -> tuple[float, float, int]:
        """The n-step return from (i, t) without its bootstrap, what that counts for, and the last step, by a loop."""
        total, k = 0.0, 0
        while True:
            total += GAMMA**k * float(self.reward[t + k, i])
            if self.terminated[t + k, i]:
                return total, 0.0, t + k
            if self.truncated[t + k, i] or k + 1 == n or t + k == newest:
                return total, GAMMA ** (k + 1), t + k
            k += 1


def filled(history: History, capacity: int, chunk: int = 3, kind=ReplayBuffer, **settings) -> ReplayBuffer:
    """A buffer that took in the history, `chunk` steps at a time."""
    n_steps, n_envs = history.reward.shape
    buffer = kind(capacity, n_envs, OBSERVATION, ACTION, GAMMA, **settings)
    for start in range(0, n_steps, chunk):
        buffer.add(history.rows(start, min(start + chunk, n_steps)))
    return buffer


def drawn(batch: dict[str, np.ndarray]) -> list[tuple[int, int]]:
    """(environment, time) of every row of a batch, in order."""
    return [(int(i), int(t)) for i, t in batch["observation"].reshape(-1, 2)]


class Noise(gym.Env):
    """Images of noise, `[side, side, 1]`, in episodes that end at each step with this probability."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, side, ends):
        self.shape, self.ends = (side, side, 1), ends
        self.observation_space = gym.spaces.Box(0, 255, self.shape, np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.integers(0, 256, self.shape, np.uint8), {}

    def step(self, action):
        over = bool(self.np_random.random() < self.ends)
        return self.np_random.integers(0, 256, self.shape, np.uint8), 1.0, over, False, {}


def same(one, other):
    """Hold that two trees of arrays are the same to the bit, and of the same types."""
    for a, b in zip(tree.flatten(one)[0], tree.flatten(other)[0], strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
