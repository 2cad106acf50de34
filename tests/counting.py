"""An environment that counts its steps, so that every transition can be written down beforehand; and one of coins."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Counting(gym.Env):
    """Observes [episode, step]; pays the step's number; ends after `length` steps, truncated in every other episode."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self, length: int = 3):
        self.length, self.episode, self.seeds = length, -1, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.episode, self.t = self.episode + 1, 0
        return self.observation(), {}

    def observation(self):
        return np.array([self.episode, self.t], np.float32)

    def step(self, action):
        self.t += 1
        done, cut = self.t == self.length, self.episode % 2 == 1
        return self.observation(), float(self.t), done and not cut, done and cut, {}


class Coins(gym.Env):
    """Observes nothing; tosses a coin at each of 200 steps, by a Gumbel a side, and pays 1 for having said which."""

    observation_space = spaces.Box(0.0, 1.0, (1,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.tosses = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.tosses += 1
        side = int(np.argmax(self.np_random.gumbel(size=2)))
        return np.zeros(1, np.float32), float(action == side), False, self.tosses == 200, {}
