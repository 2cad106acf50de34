"""Noise on deterministic actions: what it is made of, and how it lingers."""

from __future__ import annotations

import numpy as np
import pytest

from rlzoo import DDPG, TD3
from rlzoo.training.exploration import NOISES, GaussianNoise, OrnsteinUhlenbeckNoise


def test_gaussian_noise_is_the_normals():
    normal = np.random.default_rng(0).standard_normal((3, 2))
    np.testing.assert_array_equal(GaussianNoise()(normal), normal)


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


@pytest.mark.parametrize("kind, name", [(TD3, "gaussian"), (DDPG, "ornstein_uhlenbeck")])
def test_agents_add_it_to_their_actions(kind, name):
    """Scaled by its deviation, and held within the bounds; a reset of the environments begins it anew."""
    assert kind.Config().exploration_noise == name
    agent = kind("Pendulum-v1", backend="numpy", hidden=(4,), exploration_noise=name, exploration_deviation=0.5)
    seen, expected = np.float32([[0.1, 0.2, 0.3]]), NOISES[name]()
    mode = agent.mode(seen)[0]
    for normal in np.random.default_rng(0).standard_normal((5, 1, 1)).astype(np.float32):
        action = agent.sample(seen, normal)[0]
        np.testing.assert_allclose(action, np.clip(mode + 0.5 * expected(normal), -1.0, 1.0), rtol=1e-5)
    assert np.abs(agent.sample(seen, np.full((1, 1), 1e6, np.float32))[0]) == 1.0
    agent._reset()
    normal = np.full((1, 1), 0.1, np.float32)
    np.testing.assert_allclose(agent.sample(seen, normal)[0], mode + 0.5 * NOISES[name]()(normal), rtol=1e-5)
