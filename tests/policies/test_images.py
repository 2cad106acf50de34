"""Agents that see pixels: they act on the engine, and learn which side is bright."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rlzoo import A2C, DQN, PPO, SAC, TD3, TRPO, Rainbow


class BrightSide(gym.Env):
    """A 36 × 36 image with one bright half; the action that names the side, or has its sign, pays 1."""

    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)

    def __init__(self, action_space=None):
        self.action_space = action_space or spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.side = int(self.np_random.integers(2))
        return image(self.side), {}

    def step(self, action):
        return image(self.side), float(np.any(action > 0) == self.side), True, False, {}


def image(side):
    pixels = np.zeros((36, 36, 1), np.uint8)
    pixels[:, 18 * side : 18 * side + 18] = 255
    return pixels


SIDES = np.stack([image(0), image(1)])
PPO_SETTINGS = dict(n_steps=32, batch_size=32, n_epochs=4, learning_rate=1e-3)
DQN_SETTINGS = dict(learning_starts=32, batch_size=32, train_freq=32, gradient_steps=8, learning_rate=1e-3,
                    target_update_interval=32, buffer_size=500)  # fmt: skip
AGENTS = {"ppo": (PPO, PPO_SETTINGS, {"n_epochs": 1}), "dqn": (DQN, DQN_SETTINGS, {"gradient_steps": 2})}


@pytest.mark.parametrize("algorithm", AGENTS)
def test_one_update_on_every_engine_is_that_of_numpy_acting(backend, algorithm):
    """After an update the engine's deterministic outputs on images are those of the same weights in NumPy."""
    kind, settings, fewer = AGENTS[algorithm]
    agent = kind(BrightSide(), backend=backend, **settings | fewer)
    before = agent.flat.copy()
    agent.learn(32)
    assert agent._acts_on_engine and np.abs(agent.flat - before).max() > 1e-4
    rows = np.random.default_rng(0).integers(0, 256, (8, 36, 36, 1), np.uint8)
    np.testing.assert_array_equal(agent.act(rows), agent.policy.mode(agent.params, rows)[0])


SMALL = dict(hidden=(8,), n_envs=1)
FEW = dict(learning_starts=4, batch_size=8, train_freq=8, gradient_steps=1, learning_rate=1e-3, buffer_size=16)
BOX = spaces.Box(-1.0, 1.0, (1,))
OTHERS = {
    "a2c": (A2C, None, dict(n_steps=8)),
    "trpo": (TRPO, None, dict(n_steps=8, batch_size=8, cg_steps=2, line_search_steps=2, n_critic_epochs=1)),
    "rainbow": (Rainbow, None, FEW | dict(n_atoms=5)), "sac": (SAC, BOX, FEW), "td3": (TD3, BOX, FEW),
}  # fmt: skip


@pytest.mark.parametrize("algorithm, backend", [("sac", "jax"), *((algorithm, "torch") for algorithm in OTHERS)])
def test_the_other_algorithms_learn_from_images_too(algorithm, backend):
    """Each kernel of the encoder moves in one update; what acts is what was updated, in NumPy as on the engine."""
    kind, action_space, settings = OTHERS[algorithm]
    agent = kind(BrightSide(action_space), backend=backend, **SMALL | settings)
    before = agent.params["encoder"]
    before = {name: layer["kernel"].copy() for name, layer in before.items() if layer}
    agent.learn(8)
    assert len(before) == 4 and agent._acts_on_engine
    for name, kernel in before.items():
        assert np.abs(agent.params["encoder"][name]["kernel"] - kernel).max() > 1e-5, name
    rows = np.random.default_rng(0).integers(0, 256, (4, 36, 36, 1), np.uint8)
    acted, expected = agent.mode(rows)[0], agent.policy.mode(agent.params, rows)[0]
    np.testing.assert_allclose(acted, expected, atol=1e-5)


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("algorithm", AGENTS)
def test_the_bright_side_is_found(algorithm, backend):
    kind, settings, _ = AGENTS[algorithm]
    agent = kind(BrightSide(), backend=backend, **settings).learn(32 * 8)
    np.testing.assert_array_equal(agent.act(SIDES), [0, 1])
    assert agent.act(SIDES[0]).shape == ()
    assert agent.evaluate(episodes=10).mean_return == 1.0
