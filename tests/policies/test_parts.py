"""Agents that see several things at once: an image beside numbers and choices, and all of them count."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlzoo import DQN, PPO, SAC, load
from rlzoo.errors import UserError


class BrightSideAndSign(gym.Env):
    """One half of the image is bright, a number has a sign: one action is to name the side, another the sign."""

    observation_space = spaces.Dict({
        "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
        "rest": spaces.Tuple((spaces.Box(-1.0, 1.0, (1,)), spaces.Discrete(2))),
    })  # fmt: skip
    action_space = spaces.MultiDiscrete([2, 2])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.side, self.sign = (int(x) for x in self.np_random.integers(2, size=2))
        return seen(self.side, self.sign), {}

    def step(self, action):
        return seen(self.side, self.sign), float(np.mean(action == [self.side, self.sign])), True, False, {}


def seen(side, sign):
    pixels = np.zeros((36, 36, 1), np.uint8)
    pixels[:, 18 * side : 18 * side + 18] = 255
    return {"image": pixels, "rest": (np.float32([2 * sign - 1]), sign)}


def test_an_update_learns_from_the_image_and_from_what_is_beside_it():
    """And the engine, which acts on images, says what the same weights say in NumPy."""
    env = SyncVectorEnv([BrightSideAndSign] * 4, autoreset_mode=AutoresetMode.SAME_STEP)
    agent = PPO(env, backend="torch", hidden=(8,), n_steps=8, batch_size=32, n_epochs=1, learning_rate=1e-3)
    before = {name: part.copy() for name, part in agent.params["actor"]["0"].items()}
    pixels = agent.params["encoder"]["image"]["0"]["kernel"].copy()
    agent.learn(32)
    assert agent._acts_on_engine
    assert np.abs(agent.params["encoder"]["image"]["0"]["kernel"] - pixels).max() > 1e-4
    change = np.abs(agent.params["actor"]["0"]["kernel"] - before["kernel"]).max(-1)
    assert change.shape == (512 + 1 + 2,) and (change[512:] > 1e-5).all() and (change[:512] > 1e-5).sum() > 50
    rng = np.random.default_rng(0)
    rows = {"image": rng.integers(0, 256, (8, 36, 36, 1), np.uint8),
            "rest": (rng.choice(np.float32([-1.0, 1.0]), (8, 1)), rng.integers(2, size=8))}  # fmt: skip
    np.testing.assert_array_equal(agent.act(rows), agent.policy.mode(agent.params, rows)[0])
    assert agent.act(seen(0, 1)).shape == (2,)


class Numbers(BrightSideAndSign):
    """The same without pixels; with a number that is far from the others in size."""

    observation_space = spaces.Dict({
        "far": spaces.Box(0.0, 1e4, (1,)), "pair": spaces.Tuple((spaces.MultiBinary(2), spaces.Box(-1.0, 1.0, (2, 1)))),
    })  # fmt: skip

    def __init__(self, continuous=False):
        self.action_space = spaces.Box(-1.0, 1.0, (1,)) if continuous else spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation(), {}

    def observation(self):
        return {"far": np.float32([5000.0 + 100.0 * self.side]),
                "pair": (np.int8([self.sign, 1]), np.full((2, 1), self.sign, np.float32))}  # fmt: skip

    def step(self, action):
        return self.observation(), float((np.ravel(action)[0] > 0.5) == self.side), True, False, {}


OFF_POLICY = dict(learning_starts=32, train_freq=8, gradient_steps=4, batch_size=16, buffer_size=200)


@pytest.mark.parametrize("kind, settings", [
    (PPO, dict(n_steps=32, batch_size=32, n_epochs=2)),
    (PPO, dict(n_steps=32, batch_size=32, n_epochs=1, recurrent="lstm", sequence_length=2)),
    (DQN, OFF_POLICY | dict(n_step=2, prioritized=True)), (SAC, OFF_POLICY),
])  # fmt: skip
def test_observations_in_parts_with_all_else(kind, settings, tmp_path):
    """Normalized, learned from, saved with their space, loaded, and acted on the same."""
    agent = kind(Numbers(kind is SAC), backend="torch", hidden=(16,), normalize_observation=True, **settings).learn(96)
    assert np.isfinite(agent.flat).all()
    far = agent.normalizers["observation"].parts["far"].moments
    assert 5000.0 < far.mean[0] < 5100.0 and 40.0 < np.sqrt(far.variance[0]) < 55.0
    again = load(agent.save(tmp_path / "agent"), env=Numbers(kind is SAC))
    assert again.observation_space == Numbers.observation_space
    given = Numbers().reset(seed=1)[0]
    memories = [dict(memory=each.memory()) if settings.get("recurrent") else {} for each in (agent, again)]
    np.testing.assert_array_equal(agent.act(given, **memories[0]), again.act(given, **memories[1]))


def test_parts_that_do_not_fit_together():
    agent = PPO(Numbers(), backend="numpy", hidden=(4,))
    given = Numbers().reset(seed=0)[0]
    mixed = {"far": np.float32([[1.0], [2.0]]), "pair": given["pair"]}
    with pytest.raises(UserError, match="its parts are batches, but for 'pair/0', 'pair/1'"):
        agent.act(mixed)
    with pytest.raises(UserError, match=r"expected \(1,\) or \(N, \*\(1,\)\)"):
        agent.act({"far": np.zeros(3), "pair": given["pair"]})
    unequal = {"far": mixed["far"], "pair": tuple(np.stack([part] * 3) for part in given["pair"])}
    with pytest.raises(UserError, match=r"the parts of an observation must be batches of one size, not of \[2, 3, 3\]"):
        agent.act(unequal)


class Bandit(gym.Env):
    """What is seen says nothing: the second of two arms pays, or the higher action."""

    def __init__(self, space, continuous):
        self.observation_space = space
        self.action_space = spaces.Box(-1.0, 1.0, (1,)) if continuous else spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), float(np.ravel(action)[0]), True, False, {}


NOTHING = spaces.Box(-1.0, 1.0, (0,))


@pytest.mark.parametrize("kind, settings", [
    (PPO, dict(n_steps=32, batch_size=32, n_epochs=2)),
    (DQN, OFF_POLICY | dict(target_update_interval=16)), (SAC, OFF_POLICY),
])  # fmt: skip
def test_a_part_without_numbers_is_one_to_learn_with(kind, settings):
    space = spaces.Dict({"none": NOTHING, "one": spaces.Discrete(1)})
    agent = kind(Bandit(space, kind is SAC), backend="torch", hidden=(8,), learning_rate=0.03, **settings).learn(192)
    assert np.ravel(agent.act(space.sample()))[0] > 0.5


@pytest.mark.parametrize("space", [NOTHING, spaces.Dict({"none": NOTHING})])
def test_nothing_but_parts_without_numbers_is_refused(space):
    with pytest.raises(UserError, match=r"observations of .*: it is empty; give at least a constant"):
        DQN(Bandit(space, continuous=False), backend="numpy")
