"""An environment whose masks are known: `mask_of` says what is allowed at [episode, t], and it holds to that."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from counting import Counting
from gymnasium import spaces


def mask_of(episode, t, count=3):
    """One to all of the choices, another set at each step."""
    number = (5 * int(episode) + 3 * int(t)) % (2**count - 1) + 1
    return np.array([number >> k & 1 for k in range(count)], np.int8)


class Masked(Counting):
    """Says its masks in infos."""

    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed, options=options)
        return observation, info | self.told()

    def step(self, action):
        assert mask_of(self.episode, self.t)[int(action)], f"{action} is not allowed at {self.episode}, {self.t}"
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, truncated, info | self.told(terminated)

    def told(self, terminated=False):
        return {"action_mask": mask_of(self.episode, self.t)}


class Terse(Masked):
    """Says none where an episode terminates: no action follows."""

    def told(self, terminated=False):
        return {} if terminated else super().told()


class ByMethod(Masked):
    """Says its masks when asked."""

    def told(self, terminated=False):
        return {}

    def action_masks(self):
        return mask_of(self.episode, self.t).astype(bool)


class Pairs(Masked):
    """Two actions at a time, of two and of three choices; masks one after another, or one for each."""

    action_space = spaces.MultiDiscrete([2, 3])
    separate = False

    def step(self, action):
        mask = self.mask()
        assert mask[int(action[0])] and mask[2 + int(action[1])], f"{action} is not allowed by {mask}"
        observation, reward, terminated, truncated, info = Counting.step(self, action)
        return observation, reward, terminated, truncated, info | self.told()

    def mask(self):
        return np.concatenate([mask_of(self.episode, self.t, 2), mask_of(self.t, self.episode, 3)])

    def told(self, terminated=False):
        mask = self.mask()
        return {"action_mask": (mask[:2], mask[2:]) if self.separate else mask}


class SeparatePairs(Pairs):
    separate = True


class Silent(Counting):
    """Gives no mask at all."""


class Short(Masked):
    """Gives masks of two choices where there are three."""

    def told(self, terminated=False):
        return {"action_mask": np.ones(2, np.int8)}


gym.register("rlzoo-tests/Masked-v0", Masked)
