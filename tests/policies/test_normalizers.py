"""Running normalization against all the data at once."""

from __future__ import annotations

import numpy as np
import pytest
from counting import Counting
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from probes import TwoSteps, environment

from rlzoo import A2C, PPO, SAC
from rlzoo.errors import UserError
from rlzoo.policies.normalizers import ObservationNormalizer, RewardNormalizer, RunningMoments


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_moments_are_those_of_all_rows(dtype):
    rng = np.random.default_rng(0)
    rows = (100.0 + 3.0 * rng.standard_normal((1000, 2))).astype(dtype)
    moments = RunningMoments((2,))
    for part in np.split(rows, [1, 2, 10, 10, 700]):
        moments.update(part)
    np.testing.assert_allclose(moments.mean, rows.mean(0, np.float64), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, rows.astype(np.float64).var(0), rtol=1e-9)


def test_moments_keep_their_precision_far_from_zero():
    rows = (1e5 + np.random.default_rng(0).standard_normal((4000, 1))).astype(np.float32)
    moments = RunningMoments((1,))
    for part in np.split(rows, 500):
        moments.update(part)
    np.testing.assert_allclose(moments.mean, rows.mean(0, np.float64), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, rows.astype(np.float64).var(0), rtol=1e-9)


@pytest.mark.parametrize("mean, deviation", [(5e4, 1.0), (1.7e9, 10.0), (0.0, 1e-5), (-3.0, 1e-4)])
def test_prices_times_and_small_returns_come_to_unit_variance(mean, deviation):
    rows = mean + deviation * np.random.default_rng(0).standard_normal((2048, 1))
    normalize = ObservationNormalizer(spaces.Box(-np.inf, np.inf, (1,), np.float64))
    of_rewards = RewardNormalizer(1, gamma=0.0)
    for row in rows:
        normalize.update(row[None])
        of_rewards.update(row, None)
    assert normalize(rows).std() == pytest.approx(1.0, rel=0.01)
    assert of_rewards(rows - mean).std() == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("value", [0.0, 0.1, 5e4, 1e6])
def test_what_is_always_the_same_comes_to_nothing(value):
    normalize = ObservationNormalizer(spaces.Box(-np.inf, np.inf, (1,), np.float64))
    for n in (1, 3, 7, 64, 1, 5):
        normalize.update(np.full((n, 1), value))
    assert np.abs(normalize(np.full((4, 1), value))).max() < 1e-4


def test_the_replay_keeps_what_is_normalized_later_in_its_own_precision():
    """Seconds since 1970: float32 has steps of 128 there, and would keep all of an hour as a few numbers."""

    class Clock(Counting):
        observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        action_space = spaces.Box(-1.0, 1.0, (1,))

        def reset(self, **keywords):
            return np.array([1.7e9]), super().reset(**keywords)[1]

        def step(self, action):
            _, *rest = super().step(action)
            return np.array([1.7e9 + self.t]), *rest

    agent = SAC(Clock(length=50), backend="jax", hidden=(4,), batch_size=8,
                normalize_observation=True, learning_starts=50, gradient_steps=1, train_freq=100)  # fmt: skip
    agent.learn(100)
    stored = agent.replay.data["observation"][:50, 0]
    np.testing.assert_array_equal(stored, 1.7e9 + np.arange(50))
    assert len(np.unique(agent._normalized(stored[:, None]))) == 50
    plain = SAC("Pendulum-v1", backend="jax", normalize_observation=True)
    assert plain.replay.data["observation"].dtype == np.float32


def test_observations_are_shifted_scaled_and_clipped():
    normalize = ObservationNormalizer(spaces.Box(-np.inf, np.inf, (1,)))
    normalize.moments.mean, normalize.moments.variance = np.array([2.0]), np.array([4.0])
    scaled = normalize(np.array([[2.0], [4.0], [1e9], [-1e9]]))
    np.testing.assert_allclose(scaled, [[0.0], [1.0], [10.0], [-10.0]], rtol=1e-6)
    assert scaled.dtype == np.float32 and normalize.moments.mean == 2.0


NESTED = spaces.Dict({
    "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
    "more": spaces.Tuple((spaces.Discrete(3), spaces.Box(-9.0, 9.0, (1,)))),
    "vector": spaces.Box(-np.inf, np.inf, (2,)),
})  # fmt: skip


def nested(rng, n):
    return {
        "image": rng.integers(0, 256, (n, 36, 36, 1), np.uint8),
        "more": (rng.integers(0, 3, n), rng.normal(5.0, 2.0, (n, 1))), "vector": rng.normal(-3.0, 0.5, (n, 2)),
    }  # fmt: skip


def test_of_nested_observations_only_numbers_are_scaled_each_part_by_its_own():
    normalize, rng = ObservationNormalizer(NESTED), np.random.default_rng(0)
    for _ in range(200):
        normalize.update(nested(rng, 10))
    given = nested(rng, 4)
    scaled = normalize(given)
    assert list(scaled) == list(given) and isinstance(scaled["more"], tuple)
    assert scaled["image"] is given["image"] and scaled["more"][0] is given["more"][0]
    np.testing.assert_allclose(scaled["more"][1], (given["more"][1] - 5.0) / 2.0, atol=0.2)
    np.testing.assert_allclose(scaled["vector"], (given["vector"] + 3.0) / 0.5, atol=0.2)
    assert scaled["vector"].dtype == scaled["more"][1].dtype == np.float32
    again = ObservationNormalizer(NESTED)
    again.restore(normalize.arrays())
    np.testing.assert_array_equal(again(given)["more"][1], scaled["more"][1])
    np.testing.assert_array_equal(again(given)["vector"], scaled["vector"])


@pytest.mark.parametrize("space, has_numbers", [
    (NESTED, True), (spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 255, (36, 36, 1), np.uint8))), False),
    (spaces.MultiBinary(3), False),
])  # fmt: skip
def test_whether_there_are_numbers_to_scale(space, has_numbers):
    assert ObservationNormalizer(space).has_numbers == has_numbers


def test_rewards_are_divided_by_the_spread_of_the_discounted_return():
    rng = np.random.default_rng(1)
    normalize, returns, running = RewardNormalizer(3, gamma=0.9), [], np.zeros(3)
    for _ in range(400):
        reward, done = rng.standard_normal(3) + 1.0, rng.random(3) < 0.1
        for i in range(3):
            running[i] = 0.9 * running[i] + reward[i]
        returns.extend(running.tolist())
        normalize.update(reward, done)
        running[done] = 0.0
    np.testing.assert_allclose(normalize(reward), np.clip(reward / np.std(returns), -10, 10), rtol=1e-3)
    assert normalize(np.full(3, 1e9)).max() == 10.0


def test_steps_spent_on_a_reset_do_not_count_among_rewards():
    each, (first, second) = np.random.default_rng(2).standard_normal((50, 3)), (RewardNormalizer(3, 0.9) for _ in "ab")
    for reward in each:
        done = np.ones(3, np.bool_)
        first.update(reward, done)
        second.update(reward, done)
        second.update(np.zeros(3), None, ~done)  # of a vector environment that resets in the next step
    np.testing.assert_array_equal(list(first.arrays().values()), list(second.arrays().values()))


def test_when_environments_reset_does_not_change_the_moments_of_rewards():
    found = []
    for mode, n_steps in ((AutoresetMode.SAME_STEP, 9), (AutoresetMode.NEXT_STEP, 12)):
        env = SyncVectorEnv([Counting, Counting], autoreset_mode=mode)
        agent = A2C(env, backend="jax", n_steps=n_steps, hidden=(4,), normalize_reward=True).learn(2 * n_steps)
        assert agent.episodes.finished == 6
        found.append(agent.normalizers["reward"].moments)
    same, later = found
    assert (same.mean, same.variance, same.count) == (later.mean, later.variance, later.count)


def test_an_agent_learns_and_acts_on_normalized_observations_and_rewards():
    agent = PPO(environment(TwoSteps, "discrete"), backend="jax", n_steps=8, batch_size=64, hidden=(8,), gamma=0.5,
                normalize_observation=True, normalize_reward=True, checkpoint_every=64).learn(256)  # fmt: skip
    seen = agent.normalizers["observation"].moments
    np.testing.assert_allclose(seen.mean, [20 / 36, 16 / 36], rtol=1e-4)  # four resets and 32 steps of each
    observation = np.array([[1.0, 0.0]], np.float32)
    np.testing.assert_allclose(agent._prepared(observation), [[0.8**0.5, -(0.8**0.5)]], rtol=1e-3)
    returns = agent.normalizers["reward"].moments
    np.testing.assert_allclose([returns.mean, returns.variance], [0.5, 0.25], atol=1e-3)  # returns are 0, then 1
    rewards = agent.rollout.reward
    np.testing.assert_allclose(rewards[rewards > 0], 2.0, rtol=0.05)


def test_what_is_no_number_is_refused():
    env = environment(TwoSteps, "discrete")
    env.single_observation_space = spaces.Discrete(3)
    with pytest.raises(UserError, match=r"is for vectors of numbers, not for Discrete\(3\): set it to false"):
        PPO(env, backend="numpy", n_steps=8, normalize_observation=True)
