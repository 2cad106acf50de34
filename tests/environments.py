"""Small environments for the parts that combine: each can be won with its part and not without it.

What the best agent and the best agent without the part return is known in closed form, and written on each.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class BitFlipping(gym.Env):
    """n bits are to be made those of the goal, one a step: −1 a step until they are (Andrychowicz 2017, section 3.1).

    `n` steps are always enough: the best return is −(wrong bits − 1), about −n / 2. What a wandering agent sees is −1.
    """

    def __init__(self, n: int = 15, continuous: bool = False, masked: bool = False):
        bits = spaces.Box(0.0, 1.0, (n,))
        self.observation_space = spaces.Dict(observation=bits, achieved_goal=bits, desired_goal=bits)
        self.action_space: Any = spaces.Box(-1.0, 1.0, (n,)) if continuous else spaces.Discrete(n)
        self.n, self.masked = n, masked

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bits, self.goal = self.np_random.integers(0, 2, (2, self.n)).astype(np.float32)
        self.time, self.last = 0, 0
        return self._observation(), {}

    def step(self, action):
        flipped = int(np.argmax(action)) if isinstance(self.action_space, spaces.Box) else int(action)
        self.bits[flipped] = 1.0 - self.bits[flipped]
        self.time, self.last = self.time + 1, flipped
        terminated = bool(self.compute_terminated(self.bits, self.goal, {}))
        reward = float(self.compute_reward(self.bits, self.goal, {}))
        return self._observation(), reward, terminated, self.time == self.n and not terminated, {}

    def compute_reward(self, achieved_goal, desired_goal, info):
        return np.asarray(self.compute_terminated(achieved_goal, desired_goal, info), np.float32) - 1.0

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return np.all(achieved_goal == desired_goal, -1)

    def action_masks(self):
        """With `masked`, all but the bit that was just flipped."""
        return np.arange(self.n) != self.last if self.masked else np.ones(self.n, np.int8)

    def _observation(self):
        return {"observation": self.bits.copy(), "achieved_goal": self.bits.copy(), "desired_goal": self.goal.copy()}


class WithoutVelocities(gym.ObservationWrapper):
    """CartPole that shows the cart's position and the pole's angle, and neither's velocity."""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        space: Any = env.observation_space
        self.observation_space = spaces.Box(space.low[::2], space.high[::2])

    def observation(self, observation):
        return observation[::2]


class Recall(gym.Env):
    """A cue, one of `choices`, is shown at the first step and asked for after `delay` more: 1 if right, else 0.

    The best return is 1; who remembers nothing returns 1 / choices.
    """

    def __init__(self, delay: int = 4, choices: int = 3):
        self.observation_space = spaces.Box(0.0, 1.0, (choices + 1,))
        self.action_space = spaces.Discrete(choices)
        self.delay, self.choices = delay, choices

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.cue = 0, int(self.np_random.integers(self.choices))
        return self._observation(), {}

    def step(self, action):
        asked = self.time == self.delay
        self.time += 1
        return self._observation(), float(asked and action == self.cue), asked, False, {}

    def _observation(self):
        observation = np.zeros(self.choices + 1, np.float32)
        observation[self.cue] = self.time == 0
        observation[-1] = self.time == self.delay
        return observation


class FewAllowed(gym.Env):
    """Of many actions `few` are allowed at each step, by chance; a forbidden one ends the episode and costs 1.

    The observation says whether the lowest or the highest allowed pays 1; the others pay nothing. So the best return
    is `length`, and that of chance among the allowed length / few. What is allowed is only in info["action_mask"]: an
    agent that does not see it goes on with probability few / actions at each step, and cannot return more than
    few / (actions − few) − 1 on average, which is below 0.
    """

    def __init__(self, actions: int = 40, few: int = 3, length: int = 20):
        self.observation_space = spaces.Box(0.0, 1.0, (2,))
        self.action_space = spaces.Discrete(actions)
        self.few, self.length = few, length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observation(), {"action_mask": self.mask}

    def step(self, action):
        if not self.mask[action]:
            return self._observation(), -1.0, True, False, {"action_mask": self.mask}
        reward = float(action == self.paying)
        self.time += 1
        return self._observation(), reward, self.time == self.length, False, {"action_mask": self.mask}

    def _observation(self):
        n, highest = int(self.action_space.n), int(self.np_random.integers(2))
        allowed = np.sort(self.np_random.permutation(n)[: self.few])
        self.mask = np.zeros(n, np.int8)
        self.mask[allowed] = 1
        self.paying = int(allowed[-1] if highest else allowed[0])
        return np.eye(2, dtype=np.float32)[highest]


class RecallOfParts(gym.Env):
    """A cue beside numbers that say the time, and masks: Dict, Tuple, memory and masks, and a picture if wanted.

    The cue is which half of a picture is bright, or of two numbers which is 1, and is seen at the first step alone.
    Half of eight actions are allowed at each step, by chance; a forbidden one ends the episode at −1. At the last step
    an even action answers "left", an odd one "right": 1 if that was the cue. The best return is 1; without memory it
    is 1 / 2, and without masks 2^−(delay + 1) − (1 − 2^−(delay + 1)), which is below −0.8.
    """

    action_space = spaces.Discrete(8)

    def __init__(self, delay: int = 3, picture: bool = True):
        self.delay, self.picture = delay, picture
        cue = spaces.Box(0, 255, (36, 36, 1), np.uint8) if picture else spaces.Box(0.0, 1.0, (2,))
        clock = spaces.Tuple([spaces.Box(0.0, 1.0, (1,)), spaces.Discrete(2)])
        self.observation_space = spaces.Dict(cue=cue, clock=clock)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.side = 0, int(self.np_random.integers(2))
        return self._observation(), {}

    def step(self, action):
        if not self.mask[action]:
            return self._observation(), -1.0, True, False, {}
        asked = self.time == self.delay
        self.time += 1
        return self._observation(), float(asked and action % 2 == self.side), asked, False, {}

    def action_masks(self):
        return self.mask

    def _observation(self):
        self.mask = np.zeros(8, np.int8)
        for parity in range(2):
            self.mask[parity + 2 * self.np_random.permutation(4)[:2]] = 1
        cue = np.zeros((36, 36, 1), np.uint8) if self.picture else np.zeros(2, np.float32)
        if self.time == 0:
            half = cue[:, 18 * self.side : 18 * self.side + 18] if self.picture else cue[self.side : self.side + 1]
            half[:] = self.observation_space["cue"].high.max()
        asked = self.time == self.delay
        return {"cue": cue, "clock": (np.array([self.time / self.delay], np.float32), int(asked))}


class PartsOfAll(gym.Env):
    """Three actions, one of them forbidden at each step; observations nested in a Dict, or one array; no skill."""

    def __init__(self, is_dict: bool = True, continuous: bool = False):
        array = spaces.Box(-1.0, 1.0, (3,))
        nested = spaces.Dict(a=array, b=spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(2)]))
        self.observation_space: Any = nested if is_dict else array
        self.action_space: Any = spaces.Box(-1.0, 1.0, (3,)) if continuous else spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.time = 0
        return self.observation_space.sample(), {"action_mask": self._mask()}

    def step(self, action):
        continuous = isinstance(self.action_space, spaces.Box)
        self.time += 1
        reward = float(np.sum(action)) if continuous else float(self.mask[action] * (1 + action))
        ends = bool(self.np_random.integers(2))
        info = {"action_mask": self._mask()}
        return self.observation_space.sample(), reward, ends and self.time > 2, self.time == 5, info

    def _mask(self):
        self.mask = np.ones(3, np.int8)
        self.mask[self.np_random.integers(3)] = 0
        return self.mask


def copies(make: Any, n: int, mode: Any = gym.vector.AutoresetMode.SAME_STEP) -> gym.vector.SyncVectorEnv:
    """`n` copies of what `make` makes, reset in the step that ended an episode unless `mode` says otherwise."""
    return gym.vector.SyncVectorEnv([make] * n, autoreset_mode=mode)
