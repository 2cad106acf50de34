"""EnvPool as a way to step environments: the same environments as Gymnasium's, told in the same words."""

from __future__ import annotations

import copy
import subprocess
import sys
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.vector import AutoresetMode

from rlzoo import PPO
from rlzoo.envs import Stepper, form_of, make, make_separate
from rlzoo.envs.pool import EnvPoolVectorEnv
from rlzoo.errors import UserError

needs_envpool = pytest.mark.skipif(find_spec("envpool") is None, reason="envpool is not installed")
FALLEN = 12 * 2 * np.pi / 360


def pool(n, env="CartPole-v1", limit=None):
    if limit is None:
        return make(env, n, vectorization="envpool")
    spec = copy.deepcopy(gym.spec(env))
    spec.max_episode_steps = limit
    return EnvPoolVectorEnv(spec, n)


@needs_envpool
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "MountainCar-v0", "FrozenLake-v1"])
def test_its_spaces_are_those_of_gymnasium(env):
    many, copies = pool(3, env), make(env, 3)
    for name in ("single_observation_space", "single_action_space", "observation_space", "action_space"):
        assert getattr(many, name) == getattr(copies, name)
    stepper = Stepper(many)
    assert stepper.reset(0) in many.observation_space
    step = stepper.step(many.action_space.sample())
    assert step.observation in many.observation_space and step.next_observation in many.observation_space
    assert (many.num_envs, many.spec.id, form_of(many)) == (3, env, "envpool")
    assert stepper.mode is AutoresetMode.SAME_STEP and step.valid is None


@needs_envpool
def test_the_next_state_is_that_of_gymnasium():
    """Every transition of two hundred steps, also those that end an episode, to 1e-5."""
    n, one = 4, CartPoleEnv()
    one.reset(seed=0)
    stepper = Stepper(pool(n))
    observation, ended = stepper.reset(3), 0
    for actions in np.random.default_rng(0).integers(2, size=(200, n)):
        step = stepper.step(actions)
        for i in range(n):
            one.state, one.steps_beyond_terminated = observation[i].astype(float), None
            expected, reward, terminated, *_ = one.step(int(actions[i]))
            np.testing.assert_allclose(step.next_observation[i], expected, atol=1e-5)
            assert (step.reward[i], step.terminated[i], step.truncated[i]) == (reward, terminated, False)
            begun = np.abs(step.observation[i]).max() <= 0.05
            assert begun if terminated else (step.observation[i] == step.next_observation[i]).all()
            ended += terminated
        observation = step.observation
    assert ended > 20


@needs_envpool
def test_pendulum_moves_as_gymnasiums():
    one, stepper = gym.make("Pendulum-v1").unwrapped, Stepper(pool(3, "Pendulum-v1"))
    one.reset(seed=0)
    observation = stepper.reset(3)
    for actions in np.random.default_rng(0).uniform(-2, 2, (50, 3, 1)).astype(np.float32):
        step = stepper.step(actions)
        for i in range(3):
            cos, sin, velocity = observation[i].astype(float)
            one.state = np.array([np.arctan2(sin, cos), velocity])
            expected, reward, *_ = one.step(actions[i])
            np.testing.assert_allclose(step.next_observation[i], expected, atol=1e-5)
            assert step.reward[i] == pytest.approx(reward, abs=1e-4)
        observation = step.observation


@needs_envpool
def test_an_episode_held_upright_is_cut_off_at_500():
    stepper = Stepper(pool(3))
    observation, falls = stepper.reset(0), 0
    for t in range(1, 1001):
        actions = (observation @ [0.1, 0.3, 3.0, 1.0] > 0).astype(int)
        if t % 500 > 300:
            actions[2] = 1  # the last one is let fall
        step = stepper.step(actions)
        observation = step.observation
        assert step.truncated[:2].tolist() == [t % 500 == 0] * 2 and not step.terminated[:2].any()
        assert step.terminated[2] == (abs(step.next_observation[2, 2]) > FALLEN) and not step.truncated[2]
        if step.done is not None:
            assert (np.abs(observation[step.done]) <= 0.05).all()
        falls += step.terminated[2]
    assert falls > 20


@needs_envpool
def test_a_pole_that_falls_on_the_last_step_is_terminated_and_truncated():
    """EnvPool alone calls every episode on the time limit a mere cut-off."""
    stepper = Stepper(pool(64, limit=9))
    stepper.reset(7)
    for _ in range(9):
        step = stepper.step(np.ones(64, int))
    ended_before = ~step.truncated
    fallen = np.abs(step.next_observation[:, 2]) > FALLEN
    assert 0 < (fallen & step.truncated).sum() < step.truncated.sum() and ended_before.any()
    np.testing.assert_array_equal(step.terminated, fallen)


@needs_envpool
def test_its_seed_decides_and_begins_anew():
    def play(env, seed):
        first, _ = env.reset(seed=seed)
        return np.array([first, *(env.step(np.ones(3, int))[0] for _ in range(30))])

    env = pool(3)
    fives = play(env, 5)
    for again in (play(env, 5), play(pool(3), 5)):
        np.testing.assert_array_equal(again, fives)
    assert not np.array_equal(play(env, 6), fives)
    np.testing.assert_array_equal(play(pool(3), 6)[0, :2], fives[0, 1:])  # environment i is that of seed + i
    assert not np.array_equal(env.reset(seed=6)[0], env.reset()[0])
    assert env.reset(seed=2**40)[0].shape == (3, 4) == pool(3).reset()[0].shape


@needs_envpool
def test_an_agent_takes_it_when_told_to_and_evaluates_in_copies():
    settings = dict(backend="torch", n_envs=8, n_steps=16, batch_size=64, hidden=(8,), seed=1)
    agents = [PPO("CartPole-v1", vectorization="envpool", **settings).learn(512) for _ in range(2)]
    np.testing.assert_array_equal(agents[0].flat, agents[1].flat)
    assert form_of(agents[0].vector_env) == "envpool" and agents[0].rollout.valid.all()
    assert agents[0].episodes.finished > 10 and 8 < np.mean(agents[0].episodes.lengths) < 60
    assert list(agents[0].episodes.returns) == [float(n) for n in agents[0].episodes.lengths]
    assert agents[0].evaluate(3).episodes == 3
    assert form_of(make_separate("CartPole-v1", 8)) == "sync"


@needs_envpool
@pytest.mark.filterwarnings("ignore:EnvPool seeds are fixed", "ignore:.*precision lowered")
def test_an_object_of_its_own_is_a_vector_environment():
    """Its `spec` is one of EnvPool's kind: asked for an id, it was an AttributeError."""
    import envpool

    env = envpool.make("CartPole-v1", env_type="gymnasium", num_envs=4, seed=3)
    agent = PPO(env, seed=0, n_steps=32).learn(1024)
    assert (agent.config.n_envs, agent.vector_env.unwrapped, agent.collector.stepper.mode) == (
        4, env, AutoresetMode.NEXT_STEP,
    )  # fmt: skip
    assert (agent.environment_name, agent.steps) == (type(env).__name__, 1024) and agent.episodes.finished > 10
    assert agent.evaluate(2, env="CartPole-v1").episodes == 2


@needs_envpool
def test_auto_never_takes_it():
    assert [form_of(make(env, 32, vectorization="auto")) for env in ("CartPole-v1", "Pendulum-v1")] == [
        "native", "sync",
    ]  # fmt: skip
    assert form_of(make("CartPole-v1", 2, "rgb_array", vectorization="envpool")) == "sync"


@needs_envpool
@pytest.mark.parametrize("env, message", [
    ("Taxi-v4", r"EnvPool does not have Taxi-v4: leave vectorization at auto"),
    ("Blackjack-v1", r"EnvPool's Blackjack-v1 differs from Gymnasium's, it has .*: leave vectorization at auto"),
])  # fmt: skip
def test_what_it_does_not_have_says_so(env, message):
    with pytest.raises(UserError, match=message):
        pool(2, env)


@needs_envpool
def test_a_step_before_a_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        pool(2).step(np.zeros(2, int))


def test_where_it_is_not_installed_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(UserError, match=r"needs EnvPool .* pip install '\.\[envpool\]' in a checkout of rlzoo, or .*"):
        PPO("CartPole-v1", backend="numpy", vectorization="envpool")


def test_it_is_imported_only_when_asked_for():
    code = (
        "import sys; from rlzoo.envs import make, form_of; form_of(make('CartPole-v1', 8, vectorization='auto'));"
        "sys.exit('envpool' in sys.modules or 'rlzoo.envs.pool' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
