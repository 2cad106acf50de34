"""Relabelled rewards are the environment's for the goal that stands in the batch, scaled as those collected are."""

from __future__ import annotations

import re
import warnings

import gymnasium as gym
import numpy as np
import pytest
from environments import BitFlipping, copies
from gymnasium import spaces

from rlzoo import DQN, SAC
from rlzoo.errors import UserError
from rlzoo.training.goals import OfGoals


def batch_of(kind=BitFlipping, **settings):
    """An agent that explored, and transitions it would learn from, all of them relabelled."""
    agent = DQN(
        copies(lambda: kind(4), 2), backend="torch", seed=0, hidden=(8,), steps=200, learning_starts=1000,
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


class WithAnIf(BitFlipping):
    """The same, by a method that has no answer to several goals."""

    def compute_reward(self, achieved_goal, desired_goal, info):
        return 0.0 if self.compute_terminated(achieved_goal, desired_goal, info) else -1.0

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return bool(np.linalg.norm(achieved_goal - desired_goal, axis=-1) == 0.0)


@pytest.mark.filterwarnings("ignore:compute_.* takes one goal")
@pytest.mark.parametrize("kind", [ForOneGoal, WithAnIf])
def test_methods_for_one_goal_alone_are_called_for_each(kind):
    _, batch = batch_of(kind)
    assert 0.2 < reached(batch).mean() < 0.8
    np.testing.assert_array_equal(batch["reward"], reached(batch) - 1.0)
    np.testing.assert_allclose(batch["discount"], np.where(reached(batch), 0.0, 0.9), rtol=1e-6)


def test_that_a_reward_for_one_goal_is_slow_is_told_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        agent, _ = batch_of(ForOneGoal, checkpoint_every=50)
        agent.learn(200)
        agent.replay.sample(np.random.default_rng(0), (4, 64))
    told = [str(each.message) for each in caught if "hindsight" in str(each.message)]
    assert len(told) == 1
    assert re.match("compute_reward of ForOneGoal takes one goal at a time, which makes hindsight slow: ", told[0])


@pytest.mark.parametrize("answer", [None, "much", (1.0, 2.0), float("nan")])
def test_a_reward_of_a_goal_that_is_no_number_is_refused(answer):
    method = OfGoals(lambda achieved_goal, desired_goal, info: answer, "compute_reward of Odd")
    with pytest.raises(UserError, match=f"compute_reward of Odd gave {re.escape(repr(answer))} for one goal"):
        method(np.zeros((4, 3)), np.zeros((4, 3)))


def test_a_reward_of_many_goals_that_is_not_finite_is_refused():
    method = OfGoals(lambda achieved_goal, desired_goal, info: achieved_goal[:, 0] / 0.0, "compute_reward of Odd")
    with np.errstate(invalid="ignore"), pytest.raises(UserError, match="compute_reward of Odd gave nan for one goal"):
        method(np.zeros((4, 3)), np.zeros((4, 3)))


class Robot(gym.Env):
    """A point is to be moved to another; `compute_*` are those of Gymnasium-Robotics' BaseRobotEnv and Fetch."""

    def __init__(self, reward_type="sparse"):
        point = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.observation_space = spaces.Dict(dict.fromkeys(("achieved_goal", "desired_goal", "observation"), point))
        self.action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.reward_type, self.asked = reward_type, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-1.0, 1.0, (2, 3))
        self.time = 0
        return self._observation(), {}

    def step(self, action):
        self.at = self.at + 0.3 * np.asarray(action, np.float64)
        self.time += 1
        observation, info = self._observation(), {"is_success": bool(np.linalg.norm(self.at - self.goal) < 0.45)}
        terminated = self.compute_terminated(observation["achieved_goal"], observation["desired_goal"], info)
        truncated = self.compute_truncated(observation["achieved_goal"], observation["desired_goal"], info)
        reward = self.compute_reward(observation["achieved_goal"], observation["desired_goal"], info)
        return observation, float(reward), terminated, truncated or self.time == 10, info

    def _observation(self):
        return {"observation": self.at.copy(), "achieved_goal": self.at.copy(), "desired_goal": self.goal.copy()}

    def compute_reward(self, achieved_goal, goal, info):
        self.asked.append(np.ndim(achieved_goal))
        d = np.linalg.norm(achieved_goal - goal, axis=-1)
        return -(d > 0.45).astype(np.float32) if self.reward_type == "sparse" else -d

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return False

    def compute_truncated(self, achieved_goal, desired_goal, info):
        return False


class Maze(Robot):
    """The same, with what Gymnasium-Robotics' MazeEnv computes."""

    continuing_task = False

    def compute_reward(self, achieved_goal, desired_goal, info):
        self.asked.append(np.ndim(achieved_goal))
        distance = np.linalg.norm(achieved_goal - desired_goal, axis=-1)
        return np.exp(-distance) if self.reward_type == "dense" else (distance <= 0.45).astype(np.float64)

    def compute_terminated(self, achieved_goal, desired_goal, info):
        if not self.continuing_task:
            return bool(np.linalg.norm(achieved_goal - desired_goal) <= 0.45)
        return False


class ContinuingMaze(Maze):
    continuing_task = True


def reward_of(kind, reward_type, distance):
    if reward_type == "dense":
        return np.exp(-distance) if issubclass(kind, Maze) else -distance
    return 1.0 * (distance <= 0.45) if issubclass(kind, Maze) else -1.0 * (distance > 0.45)


@pytest.mark.filterwarnings("ignore:compute_terminated of Maze takes one goal")
@pytest.mark.parametrize("reward_type", ["sparse", "dense"])
@pytest.mark.parametrize("kind", [Robot, Maze, ContinuingMaze])
def test_gymnasium_robotics_answers_with_one_truth_for_a_whole_batch(kind, reward_type):
    agent = SAC(copies(lambda: kind(reward_type), 2), backend="torch", hidden=(8,), hindsight="future", gamma=0.9,
                hindsight_share=1.0, steps=200, learning_starts=1000).learn()  # fmt: skip
    batch = agent.replay.sample(np.random.default_rng(0), (4, 64))
    following = batch["next_observation"]
    distance = np.linalg.norm(following["achieved_goal"] - following["desired_goal"], axis=-1)
    near, far = distance < 0.449, distance > 0.451  # kept in float32, the edge itself may fall to either side
    sure = near | far
    assert min(near.mean(), far.mean()) > 0.1
    np.testing.assert_allclose(batch["reward"][sure], reward_of(kind, reward_type, distance)[sure], atol=1e-5)
    ends = near if kind is Maze else np.zeros_like(near)
    np.testing.assert_allclose(batch["discount"][sure], np.where(ends, 0.0, 0.9)[sure], rtol=1e-6)
    agent.replay.sample(np.random.default_rng(0), (4, 64))
    assert agent.vector_env.envs[0].asked.count(2) == 3, "one call to try, then one for each batch"


def test_robots_are_learned_from_without_a_warning():
    """That nothing ever ends an episode is no method that is called in vain."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SAC(Robot(), backend="torch", eager=True, hidden=(8,), hindsight="final", steps=120, batch_size=16).learn()


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
