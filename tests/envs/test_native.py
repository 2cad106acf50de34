"""An environment's own vector form is taken where it is the same environment: shown state by state."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv

from rlzoo import PPO, UserError
from rlzoo.envs import Stepper, form_of, make, make_separate
from rlzoo.envs.native import SAME, SameStepCartPoles


def native(n, env="CartPole-v1"):
    return make(env, n, vectorization="native")


def states(n, rng):
    """States `[4, n]` within the bounds of an episode, many of them a step from its end."""
    return rng.uniform(-1.0, 1.0, (4, n)) * np.array([[2.4], [2.0], [0.2095], [2.0]])


@pytest.mark.parametrize("settings", [{}, {"sutton_barto_reward": True}])
def test_the_same_state_and_action_lead_to_the_same(settings):
    rng, n = np.random.default_rng(0), 4000
    many, one = SameStepCartPoles(n, 500, **settings), CartPoleEnv(**settings)
    many.reset(seed=0)
    one.reset(seed=0)
    many.state, action = states(n, rng), rng.integers(2, size=n)
    before = many.state.copy()
    step = Stepper(many).step(action)
    for i in range(n):
        one.state, one.steps_beyond_terminated = before[:, i], None
        observation, reward, terminated, truncated, _ = one.step(int(action[i]))
        np.testing.assert_allclose(step.next_observation[i], observation, rtol=1e-6)
        told = step.reward[i], step.terminated[i], step.truncated[i]
        assert told == (reward, terminated, truncated)
    assert 100 < step.terminated.sum() < n - 100


@pytest.mark.parametrize("env, limit", [("CartPole-v0", 200), ("CartPole-v1", 500)])
def test_an_episode_is_cut_off_where_that_of_a_copy_is(env, limit):
    """Held upright by hand: both are truncated at the limit, and where the pole falls then, terminated too."""
    many, one = native(2, env), gym.make(env)
    one.reset(seed=0)
    stepper = Stepper(many)
    stepper.reset(0)
    for t in range(1, limit + 1):
        falling = np.array([0.0, 0.0, 0.3, 0.0]) if t == limit else np.zeros(4)
        many.state = np.stack([np.zeros(4), falling], 1)
        one.unwrapped.state = falling
        step, (*_, terminated, truncated, _) = stepper.step(np.array([0, 1])), one.step(1)
        assert step.truncated.tolist() == [t == limit] * 2 == [truncated] * 2
        assert step.terminated.tolist() == [False, t == limit] and terminated == (t == limit)


def test_episodes_begin_as_those_of_a_copy():
    """Each number of the first observation uniform in ±0.05, after a reset and where an episode ended alike."""
    n = 3000
    many, copies = native(n), make("CartPole-v1", n)
    firsts = [many.reset(seed=1)[0], copies.reset(seed=1)[0]]
    many.state = np.full((4, n), 3.0)
    firsts.append(many.step(np.zeros(n, int))[0])
    for first in firsts:
        assert first.shape == (n, 4) and first.dtype == np.float32 and np.abs(first).max() <= 0.05
        np.testing.assert_allclose(np.quantile(first, [0.01, 0.25, 0.5, 0.75, 0.99], 0),
                                   np.tile([[-0.049], [-0.025], [0.0], [0.025], [0.049]], 4), atol=0.004)  # fmt: skip


def test_no_step_is_spent_on_a_reset():
    """Beside Gymnasium's own, which spends one: the same transitions, without the steps that are not valid."""
    actions = np.random.default_rng(0).integers(2, size=(300, 3))
    ours, theirs = Stepper(native(3)), Stepper(CartPoleVectorEnv(3, 500))
    assert (ours.mode, theirs.mode) == (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP)
    ours.reset(0), theirs.reset(0)
    begun = [0, 0, 0]
    for t, action in enumerate(actions):
        before = ours.env.state.copy()
        step = ours.step(action)
        theirs.env.state, theirs.env.steps = before, np.array([t - start for start in begun], np.int32)
        theirs.env.prev_done = np.zeros(3, bool)
        expected = theirs.env.step(action)
        found = step.next_observation, step.reward, step.terminated, step.truncated
        for one, other in zip(found, expected):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        assert step.valid is None
        for i in np.flatnonzero(expected[2] | expected[3]):
            begun[i] = t + 1
            assert np.abs(step.observation[i]).max() <= 0.05 < np.abs(step.next_observation[i]).max()
    assert sum(begun) > 200


def test_its_seed_decides():
    def observations(seed):
        env = native(3)
        first, _ = env.reset(seed=seed)
        return [first] + [env.step(np.ones(3, int))[0] for _ in range(30)]

    np.testing.assert_array_equal(observations(5), observations(5))
    assert not np.array_equal(observations(5), observations(6))


def test_auto_takes_it_where_it_is_the_same_and_faster():
    def form(env, n, **settings):
        return form_of(make(env, n, vectorization="auto", **settings))

    assert [form("CartPole-v1", n) for n in (1, 7, 8, 32)] == ["sync", "sync", "native", "native"]
    assert form("gymnasium.envs.classic_control.cartpole:CartPole-v0", 8) == "native"
    assert form("CartPole-v1", 8, render_mode="rgb_array") == "sync"
    assert form("Pendulum-v1", 8) == "sync"
    assert form_of(make("CartPole-v1", 8)) == form_of(make_separate("CartPole-v1", 8)) == "sync"
    assert form_of(native(2)) == "native"


@pytest.fixture
def without_limit():
    spec = gym.spec("CartPole-v1")
    gym.register("Endless-v0", spec.entry_point, vector_entry_point=spec.vector_entry_point)
    yield "Endless-v0"
    del gym.registry["Endless-v0"]


def test_where_no_limit_is_registered_it_is_another(without_limit):
    """Which cuts episodes off after 500 steps; copies go on for ever, and so do those that stand for them."""
    env = make(without_limit, 8, vectorization="auto")
    assert form_of(env) == "sync"
    env.reset(seed=0)
    for _ in range(600):
        for one in env.envs:
            one.unwrapped.state = np.zeros(4)
        *_, terminated, truncated, _ = env.step(np.zeros(8, int))
        assert not (terminated | truncated).any()


def test_every_pair_known_to_be_the_same_is_registered():
    pairs = {(spec.entry_point, spec.vector_entry_point) for spec in gym.registry.values()}
    assert SAME.keys() <= pairs


def test_an_agent_takes_it_and_can_be_told_not_to():
    settings = dict(backend="jax", n_envs=8, n_steps=8, batch_size=64, hidden=(8,))
    agents = {how: PPO("CartPole-v1", vectorization=how, **settings).learn(128) for how in ("auto", "sync", "native")}
    assert {how: form_of(agent.vector_env) for how, agent in agents.items()} == {
        "auto": "native", "sync": "sync", "native": "native",
    }  # fmt: skip
    np.testing.assert_array_equal(agents["auto"].flat, agents["native"].flat)
    assert (agents["auto"].flat != agents["sync"].flat).any()
    for agent in agents.values():
        assert agent.rollout.valid.all() and agent.steps == 128
        evaluation = agent.evaluate(10)
        assert evaluation.returns == tuple(float(n) for n in evaluation.lengths)


def test_what_has_no_vector_form_says_so():
    with pytest.raises(UserError, match=r"Pendulum-v1 has no vector form.*sync"):
        PPO("Pendulum-v1", backend="numpy", vectorization="native")
    with pytest.raises(UserError, match=r"vectorization = 'nativ' .* auto, sync, async, native"):
        PPO("CartPole-v1", backend="numpy", vectorization="nativ")


class Vectors(VectorEnv):
    """An environment that exists side by side only."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
    single_observation_space, single_action_space = Counting.observation_space, Counting.action_space

    def __init__(self, num_envs=1, max_episode_steps=None):
        self.num_envs = num_envs

    def reset(self, *, seed=None, options=None):
        return np.zeros((self.num_envs, 2), np.float32), {}

    def step(self, actions):
        none = np.zeros(self.num_envs, bool)
        return np.zeros((self.num_envs, 2), np.float32), np.ones(self.num_envs), none, none, {}


@pytest.fixture
def only_vectors():
    gym.register("OnlyVectors-v0", vector_entry_point=Vectors)
    yield "OnlyVectors-v0"
    del gym.registry["OnlyVectors-v0"]


def test_what_has_a_vector_form_alone_is_made_of_that(only_vectors):
    env = make(only_vectors, 3)
    assert isinstance(env, Vectors) and env.num_envs == 3
    agent = PPO(only_vectors, backend="jax", n_envs=2, n_steps=8, batch_size=8, hidden=(8,)).learn(16)
    assert agent.rollout.reward.sum() == 16.0
