"""Episodes given up where learning stops and begins anew: nothing that is learned from goes on into the next ones."""

from __future__ import annotations

import numpy as np
import pytest
from counting import Counting
from environments import BitFlipping

from rlzoo import DQN


class Bits(BitFlipping):
    """Fifteen bits whose goal is far away, so that no episode ends by itself."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.goal = 1.0 - self.bits
        return self._observation(), {}


def learned_twice(env, **settings):
    """The replay of an agent that explored for six steps, and then for six more."""
    agent = DQN(env, backend="torch", seed=0, n_envs=1, train_freq=1, learning_starts=100, gamma=0.9, **settings)
    return agent.learn(6).learn(6).replay


def test_n_step_returns_end_where_an_episode_was_given_up():
    replay = learned_twice(Counting(10), n_step=3)
    assert len(replay) == 12
    np.testing.assert_array_equal(replay.data["observation"][[5, 6]], [[0, 5], [1, 0]])
    np.testing.assert_array_equal(replay.data["truncated"][:12], [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    assert not replay.data["terminated"].any()
    batch = replay.transitions(np.random.default_rng(0), np.array([3, 4, 5]))
    np.testing.assert_allclose(batch["reward"], [4 + 0.9 * 5 + 0.81 * 6, 5 + 0.9 * 6, 6], rtol=1e-6)
    np.testing.assert_array_equal(batch["next_observation"], [[0, 6]] * 3)
    np.testing.assert_allclose(batch["discount"], [0.9**3, 0.9**2, 0.9], rtol=1e-6)


@pytest.mark.parametrize("strategy", ["final", "future", "episode"])
def test_goals_are_not_those_of_the_episode_after_one_that_was_given_up(strategy):
    replay = learned_twice(Bits(15), hindsight=strategy, hindsight_share=1.0)
    assert not replay.data["terminated"].any() and replay.data["truncated"][:12].tolist() == [0] * 5 + [1] + [0] * 6
    reached = replay.data["next_observation"]["achieved_goal"][:12]
    assert len(np.unique(reached, axis=0)) > 6, "the two episodes must differ here"
    rows = np.tile(np.arange(6), 20)
    goals = replay.transitions(np.random.default_rng(0), rows)["observation"]["desired_goal"]
    for row, goal in zip(rows, goals):
        first, last = {"final": (5, 6), "future": (row, 6), "episode": (0, 6)}[strategy]
        assert (goal == reached[first:last]).all(-1).any(), f"{goal} was not reached in steps {first} to {last - 1}"
