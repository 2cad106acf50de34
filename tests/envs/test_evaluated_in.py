"""Which environment an agent is evaluated in, and that the one it learns in comes to no harm."""

from __future__ import annotations

import multiprocessing as mp
import re
from contextlib import nullcontext

import gymnasium as gym
import numpy as np
import pytest
from counting import Coins, Counting
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers.vector import TransformReward
from masked import Masked

from rlzoo import A2C, PPO
from rlzoo.envs import limit_of
from rlzoo.errors import UserError
from rlzoo.training.callbacks import Callback, Evaluate, Every
from rlzoo.training.evaluate import evaluate

SMALL = dict(backend="jax", n_steps=8, batch_size=8, hidden=(8,))


class Piped(Counting):
    """Counts, and talks to another process."""

    def __init__(self):
        super().__init__()
        self.here, self.there = mp.Pipe()


class Unending(Counting):
    """Counts, and in every second episode without an end."""

    def step(self, action):
        observation, reward, *_ = super().step(action)
        return observation, reward, self.t == 3 and self.episode % 2 == 0, False, {}


def test_environments_in_processes_of_their_own_are_evaluated_and_go_on():
    env = AsyncVectorEnv([Counting, Counting], shared_memory=False)
    agent = PPO(env, **SMALL).learn(16)
    assert agent.evaluate(4).returns == (6.0,) * 4
    assert agent.learn(16).steps == 32
    wrapped = A2C(TransformReward(env, lambda reward: reward * 0.0), backend="jax", n_steps=8, hidden=(8,))
    assert wrapped.evaluate(2).returns == (0.0, 0.0)
    env.close()


def test_a_connection_to_another_process_survives_the_attempt_to_copy_it():
    env = Piped()
    agent = PPO(env, **SMALL).learn(8)
    with pytest.raises(UserError, match=r"Piped cannot be copied \(it holds a connection.*env=…"):
        agent.evaluate(2)
    env.here.send("still there")
    assert env.there.recv() == "still there"
    with pytest.raises(UserError, match="cannot be copied"):  # before it trains, not in the middle
        agent.learn(64, callbacks=[Evaluate(32, 2)])
    assert agent.steps == 8
    agent.learn(64, callbacks=[Evaluate(32, 2, env=Piped())])
    assert agent.steps == 72


def test_an_environment_that_is_given_is_played_as_it_is_and_left_open():
    class Closing(Counting):
        closed = False

        def close(self):
            self.closed = True

    env, other = Counting(), Closing(length=5)
    agent = PPO(env, **SMALL).learn(8)
    assert agent.evaluate(2, env=other).returns == (15.0, 15.0) and len(other.seeds) == 3 and not other.closed
    env.length = 4
    assert agent.evaluate(2, env=env).returns == (10.0, 10.0)
    agent.learn(8)
    assert agent.episodes.lengths[-1] == 4 and agent.collector.raw[0, 1] == 0, "two whole episodes, begun anew"


def test_what_was_changed_of_an_environment_counts_where_it_is_given():
    env = gym.make("CartPole-v1")
    env.unwrapped.theta_threshold_radians = 0.0  # it falls at the first step
    agent = PPO(env, **SMALL)
    assert agent.evaluate(3, env=env).lengths == (1, 1, 1)
    assert agent.evaluate(3).lengths == (1, 1, 1), "copied as it is, not made again from its id"
    assert min(PPO("CartPole-v1", **SMALL).evaluate(3).lengths) > 1


def test_what_its_wrappers_have_counted_counts():
    """Moments of 20,000 steps, of which an environment made anew would have none."""
    env = gym.wrappers.NormalizeObservation(gym.make("CartPole-v1"))
    agent = PPO(env, **SMALL)
    for seed in range(30):
        env.reset(seed=seed)
        env.step(0)
    before = env.obs_rms.mean.copy()
    seen = []
    act = agent._act
    agent._act = lambda observation, *rest: seen.append(observation) or act(observation, *rest)
    agent.evaluate(1, seed=5)
    fresh, _ = gym.make("CartPole-v1").reset(seed=5)
    np.testing.assert_allclose(seen[0][0] * np.sqrt(env.obs_rms.var) + before, fresh, atol=0.01)
    np.testing.assert_array_equal(env.obs_rms.mean, before)


def test_evaluations_in_the_environment_that_is_learned_in_begin_its_episodes_anew():
    env = Counting()
    agent = PPO(env, **SMALL).learn(24, callbacks=[Evaluate(8, 1, env=env)])
    assert (agent.steps, agent.episodes.finished) == (24, 6), "two of each eight steps, and the third given up"


@pytest.mark.parametrize("within", [
    lambda agent: gym.wrappers.TimeLimit(agent.env, 2),
    lambda agent: agent.vector_env,
    lambda agent: SyncVectorEnv([lambda: agent.env]),
])  # fmt: skip
def test_an_evaluation_in_a_wrapper_of_the_environment_learned_in_begins_its_episodes_anew(within):
    env = Counting()
    agent = PPO(env, **SMALL)
    agent.learn(24, callbacks=[Every(8, lambda agent: agent.evaluate(1, env=within(agent)))])
    assert (agent.steps, agent.episodes.finished, set(agent.episodes.lengths)) == (24, 6, {3})


def test_whatever_callback_evaluates_there_episodes_begin_anew(monkeypatch):
    """Between checkpoints too, and however soon within a phase it is told."""
    monkeypatch.setattr("rlzoo.training.agent.LOG_EVERY", 8)

    class Plays(Callback):
        def on_log(self, agent, record):
            agent.evaluate(1, env=agent.env)

    agent = PPO(Counting(), **SMALL, steps=800, checkpoint_every=800)
    agent.learn(24, callbacks=[Plays()])
    assert (agent.steps, agent.episodes.finished, set(agent.episodes.lengths)) == (24, 6, {3})
    np.testing.assert_array_equal(agent.rollout.observation[:, 0, 1], [0, 1, 2, 0, 1, 2, 0, 1])


@pytest.mark.parametrize("env, settings", [(Counting, dict(frame_stack=3)), (Masked, dict(action_masks=True))])
def test_the_agents_own_vector_environment_is_seen_as_it_is(env, settings):
    """And any other one that is seen as the agent sees."""
    agent = PPO(env(6), **SMALL, **settings)
    own = agent.evaluate(2, env=agent.vector_env)
    assert own.lengths == (6, 6) and agent._must_reset
    assert agent.evaluate(2, env=agent.separate_environment(2)).lengths == (6, 6)
    with pytest.raises(UserError, match="frame_stack is for copies" if "frame_stack" in settings else "does not fit"):
        agent.evaluate(2, env=SyncVectorEnv([Counting]))


class Shade(gym.Env):
    """One shade of grey all over, of bytes or of floats up to 1."""

    action_space = spaces.Discrete(2)

    def __init__(self, observation_space):
        self.observation_space = observation_space

    def reset(self, *, seed=None, options=None):
        return self.observation_space.high // 2, {}

    def step(self, action):
        return self.observation_space.high // 2, 0.0, True, False, {}


def numbers(dtype, high=255, shape=(3,)):
    return Shade(spaces.Box(0, high, shape, dtype))


@pytest.mark.parametrize("own, other", [
    (numbers(np.uint8, shape=(36, 36, 1)), numbers(np.float32, 1, (36, 36, 1))),
    (numbers(np.float32, 1, (36, 36, 1)), numbers(np.uint8, shape=(36, 36, 1))),
    (numbers(np.uint8), numbers(np.int32)), (numbers(np.int64), numbers(np.float32)),
])  # fmt: skip
def test_observations_that_would_be_kept_as_other_numbers_do_not_fit(own, other):
    """Floats up to 1 would be zeros among bytes, without a word."""
    agent = PPO(own, **SMALL)
    expected, found = (re.escape(str(env.observation_space)) for env in (own, other))
    spaces = f"the agent's observation space is {expected}, the environment's {found}"
    with pytest.raises(UserError, match=f"Shade does not fit this agent: {spaces}"):
        agent.evaluate(2, env=other)


@pytest.mark.parametrize("own, other", [
    (numbers(np.float32), numbers(np.float64)), (numbers(np.int32), numbers(np.int8, 100)),
    (numbers(np.uint8), numbers(np.uint8, 9)),
])  # fmt: skip
def test_observations_that_are_kept_as_the_same_numbers_fit(own, other):
    assert PPO(own, **SMALL).evaluate(2, env=other).lengths == (1, 1)


@pytest.mark.parametrize("form", ["sync", "vector_entry_point"])
def test_a_limit_that_a_vector_environment_was_made_with_counts(form):
    env = gym.make_vec("CartPole-v1", 2, form, max_episode_steps=7)
    agent = PPO(env, **SMALL)
    assert limit_of(env) == 7 and agent.evaluate(3).lengths == agent.evaluate(3, env=env).lengths == (7, 7, 7)


def test_episodes_are_played_to_a_limit_beyond_the_longest_of_other_environments(monkeypatch):
    monkeypatch.setattr("rlzoo.training.acting.LONGEST", 5)
    for env, limit in ((gym.wrappers.TimeLimit(Counting(100), 9), 9), (Counting(100), 5)):
        with pytest.warns(match="episodes were cut off at 5 steps") if limit == 5 else nullcontext():
            result = PPO(env, **SMALL).evaluate(2, env=env)
        assert result.lengths == (limit,) * result.episodes and bool(result.cut) == (limit == 5)
    assert PPO(env, **SMALL).evaluate(1, env=env, longest=100).lengths == (100,)
    with pytest.raises(UserError, match="longest = 0 is not valid"):
        PPO(env, **SMALL).evaluate(1, longest=0)


def test_wrappers_of_a_vector_environment_count():
    halved = [lambda env: gym.wrappers.TransformReward(env, lambda reward: reward / 2)]
    env = gym.make_vec("CartPole-v1", 2, vectorization_mode="sync", wrappers=halved)
    evaluation = PPO(env, **SMALL).evaluate(4)
    assert evaluation.returns == tuple(length / 2 for length in evaluation.lengths)
    env = TransformReward(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync"), lambda reward: reward * 3)
    evaluation = PPO(env, **SMALL).evaluate(4)
    assert evaluation.returns == tuple(length * 3.0 for length in evaluation.lengths)


def test_an_episode_that_does_not_end_is_cut_off():
    env = SyncVectorEnv([Unending, Counting])
    result = evaluate(lambda observation, first: np.zeros(2, int), env, 6, seed=0, longest=9)
    assert result.lengths == (3, 9, 3, 3, 3) and result.cut == 1
    assert result.returns == (6.0, 45.0, 6.0, 6.0, 6.0)
    assert str(result).endswith("over 5 episodes, 1 of them cut off after 9 steps")


@pytest.mark.parametrize("seed", [0, 7])
def test_stochastic_actions_are_not_drawn_on_the_environments_own_stream(seed):
    """Who cannot know a coin is right half the time: within 70 and 130 of 200, which is 4.2 standard deviations."""
    result = PPO(Coins(), **SMALL).evaluate(1, seed=seed, deterministic=False)
    assert 70 <= result.returns[0] <= 130
    assert result.returns == PPO(Coins(), **SMALL).evaluate(1, seed=seed, deterministic=False).returns


def test_what_diverges_is_not_saved():
    class Saved(Callback):
        flats = ()

        def on_checkpoint(self, agent):
            self.flats = (*self.flats, agent.flat.copy())

    saved = Saved()
    agent = PPO("CartPole-v1", **SMALL, n_envs=1, learning_rate="exponential(1e-3, 1e30)", checkpoint_every=40)
    with pytest.raises(UserError, match=r"ppo diverged by .* lower learning_rate"):
        agent.learn(400, callbacks=[saved])
    assert len(saved.flats) >= 1 and all(np.isfinite(flat).all() for flat in saved.flats)


def test_an_agent_is_put_into_another_environment_by_loading(tmp_path):
    agent, other = PPO(Counting(), **SMALL).learn(8), Counting(5)
    with pytest.raises(UserError, match=r"change its environment: save it, and load it with load\(path, env=…\)"):
        agent.env = other
    loaded = PPO.load(agent.save(tmp_path / "agent"), env=other).learn(24)
    assert set(loaded.episodes.lengths) == {3, 5} and loaded.env is other


def test_what_is_saved_of_it_there_names_that_environment(tmp_path):
    first, other = (f"CartPole-v1,max_episode_steps={limit}" for limit in (7, 5))
    PPO(first, **SMALL).learn(8).save(tmp_path / "first")
    PPO.load(tmp_path / "first", env=other).save(tmp_path / "other")
    loaded = PPO.load(tmp_path / "other")
    assert loaded.environment_name == loaded.env == other and loaded._limit == 5
    PPO.load(tmp_path / "first", env=gym.make("CartPole-v1")).save(tmp_path / "object")
    assert PPO.load(tmp_path / "object").env is None
