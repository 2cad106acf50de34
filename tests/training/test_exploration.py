"""Noise on deterministic actions: what it is made of, and how it lingers."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from rlzoo import DDPG, TD3
from rlzoo.training.exploration import NOISES, IndependentNoise, OrnsteinUhlenbeckNoise


def test_gaussian_noise_is_the_normals():
    normal = np.random.default_rng(0).standard_normal((3, 2))
    np.testing.assert_array_equal(IndependentNoise()(normal), normal)


def test_the_ornstein_uhlenbeck_process_by_its_recursion():
    rng, noise, x = np.random.default_rng(0), OrnsteinUhlenbeckNoise(theta=0.3, dt=0.04), np.zeros((3, 2))
    for _ in range(50):
        normal = rng.standard_normal((3, 2), np.float32)
        x = x - 0.3 * x * 0.04 + 0.2 * normal
        np.testing.assert_allclose(noise(normal), x, rtol=1e-4, atol=1e-6)


def test_it_lingers_and_keeps_its_spread():
    """The stationary variance of x ← a x + √Δt ε is Δt / (1 − a²), and the correlation of neighbours is a."""
    rng, noise = np.random.default_rng(0), OrnsteinUhlenbeckNoise(theta=2.0, dt=0.05)
    steps = np.stack([noise(rng.standard_normal((2000, 1), np.float32)) for _ in range(300)])[100:]
    a = 1.0 - 2.0 * 0.05
    assert steps.var() == pytest.approx(0.05 / (1.0 - a * a), rel=0.03)
    assert np.mean(steps[1:] * steps[:-1]) / steps.var() == pytest.approx(a, abs=0.01)


def test_it_begins_anew_where_an_episode_does():
    noise, normal = OrnsteinUhlenbeckNoise(), np.ones((3, 2), np.float32)
    noise.reset(np.ones(3, np.bool_))  # before the first step
    first, second = noise(normal), noise(normal)
    noise.reset(np.array([False, True, False]))
    third = noise(normal)
    np.testing.assert_array_equal(third[1], first[1])
    assert (third[[0, 2]] > second[[0, 2]]).all() and (second > first).all()


@pytest.mark.parametrize("kind, name", [(TD3, "gaussian"), (DDPG, "ornstein_uhlenbeck")])
def test_agents_add_it_to_their_actions(kind, name):
    """Scaled by its deviation, and held within the bounds."""
    assert kind.Config().exploration_noise == name
    agent = kind("Pendulum-v1", backend="numpy", hidden=(4,), exploration_noise=name, exploration_deviation=0.5)
    seen = np.float32([[0.1, 0.2, 0.3]])
    mode = agent.mode(seen)[0]
    assert type(agent.exploration()) is NOISES[name]
    for noise in np.random.default_rng(0).standard_normal((5, 1, 1)).astype(np.float32):
        action = agent.sample(seen, noise)[0]
        np.testing.assert_allclose(action, np.clip(mode + 0.5 * noise, -1.0, 1.0), rtol=1e-5)
    assert np.abs(agent.sample(seen, np.full((1, 1), 1e6, np.float32))[0]) == 1.0


@pytest.mark.parametrize("autoreset", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_an_episode_of_learning_begins_with_noise_that_has_not_wandered_off(autoreset):
    """After t steps √Δt Σ ε has a deviation of about 0.1 √t: 0.1 at first, almost 1 after a hundred."""
    env = gym.make_vec("Pendulum-v1", 4, vectorization_mode="sync", max_episode_steps=100,
                       vector_kwargs={"autoreset_mode": autoreset})  # fmt: skip
    agent = DDPG(env, backend="numpy", hidden=(4,), exploration_noise="ornstein_uhlenbeck",
                 exploration_deviation=0.3, learning_starts=0, train_freq=1000)  # fmt: skip
    agent._reset()
    agent._collect()
    rows = {name: agent.replay.data[name][:4000] for name in ("observation", "action", "truncated", "valid")}
    noise, ended, valid = (
        x.reshape(1000, 4)
        for x in ((rows["action"] - agent.mode(rows["observation"])[0]) / 0.3, rows["truncated"], rows["valid"])
    )
    after = np.concatenate([np.ones((1, 4)), np.where(valid[:-1] > 0.0, ended[:-1], 1.0)])
    first = (after > 0.0) & (valid > 0.0)
    assert first.sum() >= 36
    assert noise[first].std() == pytest.approx(0.1, abs=0.04)
    assert noise[(ended > 0.0) & (valid > 0.0)].std() > 0.4


def test_evaluated_twice_with_one_seed_it_explores_the_same_way():
    agent = DDPG("Pendulum-v1", backend="numpy", hidden=(4,), exploration_noise="ornstein_uhlenbeck")
    agent.act(np.zeros((5, 3), np.float32), deterministic=False)
    returns = [agent.evaluate(n, deterministic=False, seed=1).returns for n in (2, 2, 3)]
    assert returns[0] == returns[1] != agent.evaluate(2, seed=1).returns
