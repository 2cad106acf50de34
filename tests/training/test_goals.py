"""Relabelled rewards are the environment's for the goal that stands in the batch, scaled as those collected are."""

from __future__ import annotations

import numpy as np
from environments import BitFlipping, copies

from rlzoo import DQN


def batch_of(**settings):
    """An agent that explored, and transitions it would learn from, all of them relabelled."""
    agent = DQN(
        copies(lambda: BitFlipping(4), 2), backend="torch", seed=0, hidden=(8,), steps=200, learning_starts=1000,
        hindsight="future", hindsight_share=1.0, gamma=0.9, **settings,
    ).learn()  # fmt: skip
    return agent, agent.replay.sample(np.random.default_rng(0), (4, 64))


def reached(batch):
    following = batch["next_observation"]
    return np.all(following["achieved_goal"] == following["desired_goal"], -1)


def test_a_reached_goal_pays_and_ends_the_episode():
    _, batch = batch_of()
    assert 0.2 < reached(batch).mean() < 0.8
    np.testing.assert_array_equal(batch["reward"], reached(batch) - 1.0)
    np.testing.assert_allclose(batch["discount"], np.where(reached(batch), 0.0, 0.9), rtol=1e-6)


def test_rewards_are_normalized_like_those_collected():
    agent, batch = batch_of(normalize_reward=True)
    deviation = np.sqrt(agent.normalizers["reward"].moments.variance)
    assert abs(deviation - 1.0) > 0.05
    np.testing.assert_allclose(batch["reward"], (reached(batch) - 1.0) / deviation, rtol=1e-4)
