"""Faults of older zoos in the updates, each held away by a test that it would fail."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from loss_cases import (
    AGENTS,
    BOX,
    DISCRETE,
    SETTINGS,
    Spaces,
    loss_case,
    replayed,
    rollout,
    starting_state,
    targets_of,
)
from parity import assert_close, compiled
from probes import ObservationMatters, environment, kind_for, untrained

from rlzoo import DQN, PPO
from rlzoo.algorithms import find
from rlzoo.nn import Adam, RMSprop
from rlzoo.training.callbacks import Callback


def targets(name, terminated):
    """An agent's targets for transitions that all were terminated or all were not, and the batch."""
    agent, rng = AGENTS[name](), np.random.default_rng(3)
    state, data = starting_state(agent, rng), replayed(agent, rng, (16,))
    data["batch"] |= {"discount": np.full(16, agent.config.gamma * (1.0 - terminated))}
    return agent, state, data["batch"], data["noise"], targets_of(agent, state, data)


@pytest.mark.parametrize("name", ["dqn", "dqn not double", "sac", "td3", "discrete_sac"])
def test_after_termination_the_target_is_the_reward(name):
    *_, batch, _, target = targets(name, 1.0)
    np.testing.assert_array_equal(target, batch["reward"])


def said_of_what_follows(agent, state, batch, **noise):
    """The action values of the next observations, by the online and by the target network of a DQN."""

    def outputs(key, noise):
        params = agent.layout.split(state[key])
        return agent.policy.outputs(params, agent.policy.features(params, batch["next_observation"]), noise)

    return outputs("parameters", noise.get("chooser")), outputs("target", noise.get("target"))


@pytest.mark.parametrize("name", ["dqn", "dqn not double"])
def test_target_of_dqn_by_hand(name):
    agent, state, batch, _, target = targets(name, 0.0)
    online, frozen = said_of_what_follows(agent, state, batch)
    judged = frozen.max(1) if name == "dqn not double" else frozen[np.arange(16), online.argmax(1)]
    assert not np.allclose(frozen.max(1), frozen[np.arange(16), online.argmax(1)]), "the two must differ here"
    np.testing.assert_allclose(target, batch["reward"] + 0.9 * judged, rtol=1e-6)


def test_the_next_action_is_chosen_with_noise_of_its_own():
    agent, state, batch, noise, target = targets("dqn noisy", 0.0)
    online, frozen = said_of_what_follows(agent, state, batch, **noise)
    with_another, _ = said_of_what_follows(agent, state, batch, chooser=noise["online"])
    assert np.any(online.argmax(1) != with_another.argmax(1)), "the two must differ here"
    expected = batch["reward"] + 0.9 * frozen[np.arange(16), online.argmax(1)]
    np.testing.assert_allclose(target, expected, rtol=1e-5)


def test_what_is_not_allowed_next_is_not_chosen_in_the_target(monkeypatch):
    monkeypatch.setitem(AGENTS, "dqn masked", lambda: DQN(Spaces(DISCRETE), **SETTINGS, action_masks=True))
    agent, state, batch, _, target = targets("dqn masked", 0.0)
    online, frozen = said_of_what_follows(agent, state, batch)
    action = np.where(batch["next_observation"]["action_mask"] > 0, online, -np.inf).argmax(1)
    assert np.any(action != online.argmax(1)), "the two must differ here"
    np.testing.assert_allclose(target, batch["reward"] + 0.9 * frozen[np.arange(16), action], rtol=1e-6)


def test_target_of_sac_by_hand():
    agent, state, batch, noise, target = targets("sac", 0.0)
    params, frozen = agent.layout.split(state["parameters"]), agent.target_layout.split(state["target"])
    after = agent.policy.features(params, batch["next_observation"])
    mean, log_std = agent.policy.parameters_of_action(params, after)
    u = mean + np.exp(log_std) * noise["next_action"]
    log_prob = np.sum(-0.5 * ((u - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi), 1)
    log_prob -= np.sum(np.log(1.0 - np.tanh(u) ** 2), 1)
    q = np.minimum(*agent.policy.values(frozen, after, np.tanh(u)))
    alpha = np.exp(params["log_temperature"][0])
    np.testing.assert_allclose(target, batch["reward"] + 0.9 * (q - alpha * log_prob), rtol=1e-5)


def test_advantages_of_ppo_by_a_loop():
    """Termination stops the bootstrap, truncation only the recursion."""
    agent, rng = AGENTS["ppo discrete"](), np.random.default_rng(4)
    state, data = starting_state(agent, rng), rollout(agent, rng)
    params = agent.layout.split(state["parameters"])
    v, after = (
        agent.policy.value(params, agent.policy.features(params, data[key][:, 0]))
        for key in ("observation", "next_observation")
    )
    reward, terminated, done = (data[key][:, 0] for key in ("reward", "terminated", "done"))
    assert np.any(done > terminated)
    expected, advantage = np.zeros(16), 0.0
    for t in reversed(range(16)):
        delta = reward[t] + (0.0 if terminated[t] else 0.9 * after[t]) - v[t]
        advantage = delta + (0.0 if done[t] else 0.9 * 0.95 * advantage)
        expected[t] = advantage
    batch, _ = agent.advantages(state["parameters"], data)
    np.testing.assert_allclose(batch["advantage"], expected, rtol=1e-5)
    np.testing.assert_allclose(batch["return"], expected + v, rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_advantages_are_normalised_where_they_should_be(normalize):
    _, _, (state, data) = loss_case("ppo continuous")
    settings = SETTINGS | {"n_steps": 16, "batch_size": 8, "normalize_advantage": normalize}
    agent = PPO(Spaces(BOX), **settings)
    scalars = {"clip_range": 0.2, "entropy_coefficient": 0.0, "value_coefficient": 0.5}
    data["weight"] = np.ones(16)

    def policy_loss(advantage):
        batch = data | {"advantage": advantage}
        return agent.loss(agent.layout.split(state["parameters"]), batch, scalars)[1][0]

    a, params = data["advantage"], agent.layout.split(state["parameters"])
    outputs = agent.policy.parameters_of_action(params, agent.policy.features(params, data["observation"]))
    ratio = np.exp(agent.policy.head.distribution.log_prob(outputs, data["action"]) - data["log_prob"])
    used = (a - a.mean()) / a.std() if normalize else a
    assert policy_loss(a) == pytest.approx(-np.mean(np.minimum(ratio * used, np.clip(ratio, 0.8, 1.2) * used)))
    assert np.isclose(policy_loss(5.0 * a + 3.0), policy_loss(a), rtol=1e-4) == normalize


@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "sac", "td3"])
def test_tracing_does_not_freeze_the_learning_rate(backend, algorithm):
    """Two calls of one compiled update: half the learning rate moves a first Adam step half as far, none not at all."""
    env = environment(ObservationMatters, kind_for(algorithm))
    agent = untrained(algorithm, env, backend)
    agent.collector.reset(0)
    if algorithm == "ppo":
        agent._collect()
        data = (agent.rollout.arrays(), agent.noise_of_update())
    else:
        for _ in range(8):
            agent._collect()
        data = (agent._inputs(16, agent.steps),)

    def moved(rate):
        scalars = agent.scalars() | {"learning_rate": np.float32(rate)}
        state, _ = agent.compiled_update(agent.initial_state(agent.flat.copy()), *data, scalars)
        return np.abs(agent.engine.to_numpy(state["parameters"]) - agent.flat)

    assert moved(0.0).max() == 0.0
    half, whole = moved(5e-5), moved(1e-4)
    assert half.max() > 1e-5
    assert np.sum(whole) / np.sum(half) == pytest.approx(2.0, rel=0.1)


class Weights(Callback):
    """Keeps the weights after each phase."""

    def on_start(self, agent):
        self.seen = [agent.flat.copy()]

    def on_steps(self, agent):
        self.seen.append(agent.flat.copy())


def test_a_schedule_is_followed_during_a_run(backend):
    """A learning rate that is 0 from half of training on leaves the weights alone from there."""
    env = environment(ObservationMatters, "discrete")
    agent = untrained("ppo", env, backend)
    weights = Weights()
    agent.config = agent.config.model_validate(dict(agent.config) | {"learning_rate": "linear(1e-2, 0, 0.5)"})
    agent.learn(64 * 8, callbacks=[weights])
    steps = np.abs(np.diff(weights.seen, axis=0)).max(1)
    assert len(steps) == 8 and np.all(steps[:4] > 1e-3) and np.all(steps[4:] == 0.0)


def test_each_loss_of_sac_moves_its_own_networks_only(engine):
    """One gradient of the sum is J_Q's for the critics, J_π's for the actor, and entropy − its aim for log α."""
    agent, rng = AGENTS["sac"](), np.random.default_rng(6)
    state, data = starting_state(agent, rng), replayed(agent, rng, (8,))

    def gradient(choose, flat, batch, target, noise):
        def loss(params):
            value, report = agent.loss(params, batch, target, noise, {})
            return choose(value, report["metrics"]), report["metrics"]

        return agent.layout.value_and_grad(loss, flat)[1:]

    arguments = state["parameters"], data["batch"], rng.standard_normal(8), data["noise"]
    metrics, found = compiled(engine, partial(gradient, lambda value, metrics: value), *arguments)
    found = agent.layout.split(found)
    for metric, group in enumerate(("critics", "actor")):  # finite differences of that loss alone
        alone = gradient(lambda value, metrics, metric=metric: metrics[metric], *arguments)[1]
        assert_close(found[group], agent.layout.split(alone)[group])
    assert found["log_temperature"][0] == pytest.approx(metrics[2] + 2.0, rel=1e-5)


@pytest.mark.parametrize(
    "algorithm, epsilon, norm", [("dqn", 1e-8, 10.0), ("qrdqn", 0.01 / 32, None), ("rainbow", 1.5e-4, 10.0)]
)
def test_learners_of_values_have_the_adam_of_their_papers(algorithm, epsilon, norm):
    config = find(algorithm).Config()
    assert (config.adam_epsilon, config.max_grad_norm) == (epsilon, norm)
    given = dict(adam_epsilon=1e-3, max_grad_norm=0.5)
    agent = find(algorithm)("CartPole-v1", backend="numpy", **given)
    assert agent.optimizer == Adam(epsilon=1e-3, max_grad_norm=0.5)


@pytest.mark.parametrize("name, settings, optimizer", [
    ("a2c", {}, RMSprop(max_grad_norm=0.5, epsilon=1e-5)),
    ("a2c", dict(rmsprop=False, max_grad_norm=2.0), Adam(max_grad_norm=2.0, epsilon=1e-5)),
    ("a2c", dict(max_grad_norm=2.0), RMSprop(max_grad_norm=2.0, epsilon=1e-5)),
    ("reinforce", {}, Adam(max_grad_norm=0.5, epsilon=1e-5)),
    ("reinforce", dict(rmsprop=True), RMSprop(max_grad_norm=0.5, epsilon=1e-5)),
    ("ppo", {}, Adam(max_grad_norm=0.5, epsilon=1e-5)),
    ("ppo", dict(max_grad_norm=2.0), Adam(max_grad_norm=2.0, epsilon=1e-5)),
    ("trpo", {}, Adam()),
])  # fmt: skip
def test_learners_on_policy_have_the_optimizer_of_their_settings(name, settings, optimizer):
    agent = find(name)(Spaces(DISCRETE), backend="numpy", n_steps=128, n_envs=1, **settings)
    assert agent.optimizer == optimizer
    assert agent.state["optimizer"].keys() == optimizer.init(agent.flat).keys()


@pytest.mark.parametrize("interval, moves", [(0, [0, 1, 0, 1]), (2, [0, 1, 0, 1]), (3, [0, 0, 1, 0])])
def test_td3s_target_moves_with_the_actor_or_at_its_interval(interval, moves):
    """An interval that never falls on the actor's turn moves it all the same."""
    agent = find("td3")("Pendulum-v1", backend="jax", hidden=(4,), batch_size=4, learning_starts=1, tau=0.5,
                        target_update_interval=interval)  # fmt: skip
    targets = [agent.state["target"].copy()]

    class Targets(Callback):
        def on_steps(self, agent):
            targets.append(agent.engine.to_numpy(agent.state["target"]))

    agent.learn(4, callbacks=[Targets()])
    assert [not np.array_equal(before, after) for before, after in pairwise(targets)] == moves
