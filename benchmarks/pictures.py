"""Pictures-v0: images of the size Atari's are reduced to, drawn beforehand, so that a step costs next to nothing."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

EPISODE = 1000  # steps


class Pictures(gym.Env):
    """Random bytes `[84, 84, 4]` and four actions, one of which pays at each picture."""

    observation_space = gym.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    action_space = gym.spaces.Discrete(4)

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode
        self.pictures = np.random.default_rng(0).integers(0, 256, (64, 84, 84, 4), np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps, self.shown = 0, int(self.np_random.integers(64))
        return self.pictures[self.shown], {}

    def step(self, action: Any) -> Any:
        reward = float(action == self.shown % 4)
        self.steps, self.shown = self.steps + 1, (self.shown * 5 + 1) % 64
        return self.pictures[self.shown], reward, False, self.steps == EPISODE, {}


gym.register("Pictures-v0", entry_point=f"{__name__}:Pictures")
