"""Faults of older zoos on the way from observations to actions, each held away by a test that it would fail."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from probes import ActionPays, environment, untrained

from rlzoo import DQN, PPO, SAC
from rlzoo.backend import tree

OBSERVATIONS = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)


class Recording(gym.Env):
    """Ten steps an episode, random observations; notes every action and the seeds it was reset with."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,))

    def __init__(self, low=-0.1, high=0.1):
        self.action_space = spaces.Box(np.float32(low), np.float32(high), (1,))
        self.actions, self.first_observations = [], []

    def __deepcopy__(self, memo):
        return self  # so that evaluation plays here too, and can be watched

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self.first_observations.append(self.np_random.standard_normal(2, np.float32))
        return self.first_observations[-1], {}

    def step(self, action):
        self.actions.append(action.copy())
        self.t += 1
        return self.np_random.standard_normal(2, np.float32), 0.0, False, self.t == 10, {}


def scaled_last_layer(params, factor):
    """Networks whose last layer is `factor` times as large: without a function after it, so are their outputs."""
    last = list(params)[-1]
    return params | {last: tree.map(lambda x: factor * x, params[last])}


@pytest.mark.parametrize("algorithm, network, outputs", [
    ("ppo", "actor", lambda p, params: p.parameters_of_action(params, p.features(params, OBSERVATIONS))),
    ("ppo", "critic", lambda p, params: p.value(params, p.features(params, OBSERVATIONS))),
    ("dqn", "network", lambda p, params: p.outputs(params, p.features(params, OBSERVATIONS))),
])  # fmt: skip
def test_logits_and_values_pass_no_tanh(algorithm, network, outputs):
    agent = untrained(algorithm, environment(ActionPays, "discrete"), "jax")
    params = agent.params | {network: scaled_last_layer(agent.params[network], 1e3)}
    before, after = outputs(agent.policy, agent.params), outputs(agent.policy, params)
    assert np.abs(after).max() > 1.5
    np.testing.assert_allclose(after, 1e3 * before, rtol=1e-3, atol=1e-5)


def test_log_probabilities_are_those_of_actions_before_clipping():
    env = Recording()
    agent = PPO(env, backend="jax", n_steps=16, batch_size=16, hidden=(16,))
    agent.collector.reset(0)
    agent._collect()
    sampled, taken = agent.rollout.action[:, 0], np.array(env.actions)
    assert np.abs(sampled).max() > 0.5, "σ = 1 must leave the bounds of 0.1"
    np.testing.assert_array_equal(taken, np.clip(sampled, np.float32(-0.1), np.float32(0.1)))
    rollout = tree.map(lambda x: x.astype(np.float64), agent.rollout.arrays())
    batch, _ = agent.advantages(agent.flat.astype(np.float64), rollout)
    mean, _ = agent.policy.mode(agent.params, agent.rollout.observation[:, 0])
    density = -0.5 * (sampled - mean) ** 2 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(batch["log_prob"], density[:, 0], rtol=1e-5)


def test_a_tested_policy_is_squashed_once():
    env = Recording(-2.0, 5.0)
    agent = SAC(env, backend="jax", hidden=(16,))
    mean, _ = agent.policy.parameters_of_action(agent.params, agent.policy.features(agent.params, OBSERVATIONS))
    np.testing.assert_allclose(agent.act(OBSERVATIONS), 1.5 + 3.5 * np.tanh(mean), rtol=1e-5)
    agent.params["actor"] = tree.map(lambda x: 1e3 * x, agent.params["actor"])
    # now the bounds themselves are within reach, where tanh(tanh(u)) ends at 0.76 of the way
    assert np.abs(agent.act(OBSERVATIONS) - 1.5).max() == pytest.approx(3.5, abs=1e-3)
    env.actions.clear()
    agent.evaluate(episodes=1)
    assert len(env.actions) == 10
    assert max(abs(action[0] - 1.5) for action in env.actions) == pytest.approx(3.5, abs=1e-3)


@pytest.mark.parametrize("kind, setting", [(PPO, {"batch_size": 8, "n_steps": 8}), (DQN, {"buffer_size": 16})])
def test_pixels_reach_the_network_between_0_and_1(kind, setting):
    class Pixels(gym.Env):
        observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
        action_space = spaces.Discrete(2)

    agent = kind(Pixels(), backend="jax", **setting)
    image = np.random.default_rng(0).integers(0, 256, (2, 36, 36, 1), np.uint8)
    encoder, params = agent.policy.trunk.encoder, agent.params["encoder"]
    seen = encoder.network(params, image.astype(np.float32) / 255.0)
    np.testing.assert_allclose(encoder(params, image), seen, rtol=1e-3, atol=1e-4)
    assert np.abs(seen).max() < 10.0  # and 255 times as much otherwise
    buffer = agent.rollout.observation if kind is PPO else agent.replay.data["observation"]
    assert buffer.dtype == np.uint8


def test_every_sub_environment_has_a_seed_of_its_own():
    environments = [Recording() for _ in range(4)]
    agent = PPO(SyncVectorEnv([lambda e=e: e for e in environments]), backend="jax", n_steps=8, batch_size=8)
    agent.collector.reset(agent._environment_seed())
    firsts = [env.first_observations[-1] for env in environments]
    assert len({first.tobytes() for first in firsts}) == 4
    agent.collector.reset(agent._environment_seed())
    np.testing.assert_array_equal([env.first_observations[-1] for env in environments], firsts)
    agent.evaluate(episodes=1)
    assert environments[0].first_observations[-1].tobytes() not in {first.tobytes() for first in firsts}


def test_defaults_differ_between_environments():
    def config(kind, env):
        return kind(env, backend="numpy").config

    cartpole, pendulum = config(PPO, "CartPole-v1"), config(PPO, "Pendulum-v1")
    assert (cartpole.n_steps, cartpole.gae_lambda, cartpole.gamma) == (32, 0.95, 0.98)
    assert (pendulum.n_steps, pendulum.gae_lambda, pendulum.gamma) == (1024, 0.95, 0.9)
    assert config(DQN, "CartPole-v1").learning_rate.start == 2.3e-3
    assert config(DQN, "Acrobot-v1").learning_rate.start == 6.3e-4
    assert config(SAC, "Pendulum-v1").entropy_coefficient is None
    assert config(SAC, "MountainCarContinuous-v0").entropy_coefficient.start == 0.1
    assert config(PPO, Recording()).n_steps == 2048  # the algorithm's own, where nothing is published


@pytest.mark.parametrize("recurrent", [None, "gru"])
def test_each_environment_explores_by_its_own_chance_and_the_network_is_asked_where_it_counts(recurrent):
    memory = {} if recurrent is None else dict(recurrent=recurrent, sequence_length=4, batch_size=32)
    agent = DQN("CartPole-v1", backend="numpy", n_envs=4, exploration=0.5, hidden=(8,), seed=0, **memory)
    seen = np.random.default_rng(1).standard_normal((4, 4)).astype(np.float32)
    seen = seen if recurrent is None else agent.memory(4).around(seen)
    greedy, remembered = agent.mode(seen)
    asked, mode = [], agent.mode
    agent.mode = lambda seen: asked.append(seen) or mode(seen)
    other = (1 - greedy) / 2 + 0.25  # chances of the actions that are not greedy
    for explores in ([0, 0, 0, 0], [1, 0, 0, 1], [1, 1, 1, 1]):
        asked.clear()
        noise = {"chance": np.stack([np.where(explores, 0.1, 0.9), other], 1)}
        action, memory_after = agent.sample(seen, noise)
        np.testing.assert_array_equal(action, np.where(explores, 1 - greedy, greedy))
        assert len(asked) == (recurrent is not None or not all(explores)), "what is remembered moves on by the network"
        for got, wanted in zip(tree.flatten(memory_after)[0], tree.flatten(remembered)[0], strict=True):
            np.testing.assert_array_equal(got, wanted)
