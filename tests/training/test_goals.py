"""Relabelled rewards are the environment's for the goal that stands in the batch, scaled as those collected are."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from environments import BitFlipping, copies
from gymnasium import spaces

from rlzoo import DQN
from rlzoo.errors import UserError


def batch_of(**settings):
    """An agent that explored, and transitions it would learn from, all of them relabelled."""
    agent = DQN(
        copies(lambda: BitFlipping(4), 2), backend="torch", seed=0, hidden=(8,), steps=200, learning_starts=1000,
        **dict(hindsight="future", hindsight_share=1.0, gamma=0.9) | settings,
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


@pytest.mark.parametrize("share, n_step", [(1.0, 1), (0.5, 1), (0.5, 3), (0.0, 1)])
def test_rewards_of_old_and_new_goals_are_normalized_alike(share, n_step):
    agent, _ = batch_of(normalize_reward=True, hindsight_share=share, n_step=n_step)
    assert set(agent.replay.data["reward"][: len(agent.replay)]) <= {-1.0, 0.0}
    deviation = np.sqrt(agent.normalizers["reward"].moments.variance)
    assert abs(deviation - 1.0) > 0.05
    drawn = agent._inputs(4, agent.steps)["batch"]["reward"]
    sums = [-sum(0.9**k for k in range(length)) for length in range(n_step + 1)]
    assert {round(float(x), 4) for x in drawn.ravel()} == {round(float(x / deviation), 4) for x in sums}


class Tenfold(gym.Wrapper):
    """Rewards, and what a goal would have paid, ten times as large."""

    def step(self, action):
        observation, reward, *rest = self.env.step(action)
        return observation, 10 * reward, *rest

    def compute_reward(self, *reached_and_goal):
        return 10 * self.env.unwrapped.compute_reward(*reached_and_goal)


def test_a_wrappers_rewards_are_taken_for_relabelled_goals_too():
    agent = DQN(copies(lambda: Tenfold(BitFlipping(4)), 2), backend="torch", hidden=(8,), hindsight="future",
                hindsight_share=0.5, steps=200, learning_starts=1000).learn()  # fmt: skip
    assert set(agent.replay.sample(np.random.default_rng(0), (4, 64))["reward"].ravel()) == {-10.0, 0.0}


class ForOneGoal(BitFlipping):
    """Its reward is for one goal alone."""

    def compute_reward(self, achieved_goal, desired_goal, info):
        return float(np.linalg.norm(achieved_goal - desired_goal) == 0.0) - 1.0


def test_a_reward_for_one_goal_alone_is_refused():
    agent = DQN(copies(lambda: ForOneGoal(4), 2), backend="torch", hidden=(8,), hindsight="future", steps=200)
    with pytest.raises(UserError, match=r"compute_reward of .* gave an array of shape \(\) for \(\d+, 4\)"):
        agent.learn()


@pytest.mark.parametrize("goal", [spaces.Discrete(5), spaces.Box(0.0, 1.0, (2, 2))])
def test_goals_that_are_no_vectors_are_refused(goal):
    env = BitFlipping(4)
    env.observation_space = spaces.Dict(env.observation_space.spaces | {"desired_goal": goal, "achieved_goal": goal})
    with pytest.raises(UserError, match="'desired_goal' to be a vector"):
        DQN(env, backend="numpy", hindsight="future")


def test_environments_in_other_processes_are_refused():
    env = gym.vector.AsyncVectorEnv([lambda: BitFlipping(4)] * 2)
    try:
        agent = DQN(env, backend="torch", hidden=(8,), hindsight="future", steps=200)
        with pytest.raises(UserError, match="in this process"):
            agent.learn()
    finally:
        env.close()
