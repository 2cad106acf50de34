"""The terms of the losses against their equations written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from loss_cases import AGENTS, SCALARS, loss_case, replayed, starting_state


def weighted_mean(x, weight):
    return np.sum(x * weight) / np.sum(weight)


@pytest.mark.parametrize("name, clip", [("ppo discrete", None), ("ppo continuous", 0.1)])
def test_terms_of_ppo(name, clip):
    agent, _, (state, data) = loss_case(name)
    assert agent.config.clip_range_value == clip
    params, weight = agent.layout.split(state["parameters"]), data["weight"]
    outputs = agent.policy.parameters_of_action(params, data["observation"])
    value = agent.policy.value(params, data["observation"])
    error = (value - data["return"]) ** 2
    if clip is not None:
        near = np.clip(value, data["value"] - clip, data["value"] + clip)
        assert np.any(near != value)
        error = np.maximum(error, (near - data["return"]) ** 2)
    if name == "ppo discrete":
        p = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
        entropy = -np.sum(p * np.log(p), 1)
        log_prob = np.log(p[np.arange(len(p)), data["action"]])
    else:
        mean, log_std = outputs
        entropy = np.full(len(mean), np.sum(log_std + 0.5 * np.log(2 * np.pi * np.e)))
        z = (data["action"] - mean) / np.exp(log_std)
        log_prob = np.sum(-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi), 1)
    ratio = np.exp(log_prob - data["log_prob"])
    outside = np.abs(ratio - 1.0) > 0.2
    assert 0 < outside.sum() < len(outside)
    advantage = data["advantage"] - weighted_mean(data["advantage"], weight)
    advantage = advantage / np.sqrt(weighted_mean(advantage**2, weight))
    surrogate = np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
    terms = [-surrogate, error, entropy, ratio - 1.0 - np.log(ratio), outside]
    expected = [weighted_mean(term, weight) for term in terms]
    loss, metrics = agent.loss(params, data, SCALARS)
    np.testing.assert_allclose(metrics, expected, rtol=1e-5)
    assert loss == pytest.approx(expected[0] + 0.5 * expected[1] - 0.01 * expected[2], rel=1e-5)


def test_dqn_is_quadratic_near_the_target_and_linear_far_from_it():
    agent, rng = AGENTS["dqn"](), np.random.default_rng(1)
    params, batch = agent.layout.split(starting_state(agent, rng)["parameters"]), replayed(agent, rng, (4,))["batch"]
    value = agent.policy.values(params, batch["observation"])[np.arange(4), batch["action"]]
    loss, metrics = agent.loss(params, batch, value + np.array([0.5, -0.5, 3.0, -5.0]))
    assert loss == pytest.approx(np.mean([0.125, 0.125, 2.5, 4.5]), rel=1e-5)
    np.testing.assert_allclose(metrics, [loss, value.mean(), 2.25], rtol=1e-5)


def test_terms_of_sac():
    agent, rng = AGENTS["sac"](), np.random.default_rng(1)
    state, data = starting_state(agent, rng), replayed(agent, rng, (8,))
    params, target, noise = agent.layout.split(state["parameters"]), rng.standard_normal(8), data["noise"]["action"]
    observation = data["batch"]["observation"]
    mean, log_std = agent.policy.parameters_of_action(params, observation)
    u = mean + np.exp(log_std) * noise
    log_prob = np.sum(-0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - np.tanh(u) ** 2), 1)
    q = agent.policy.values(params, observation, data["batch"]["action"])
    alpha = np.exp(params["log_temperature"][0])
    expected = [
        sum(0.5 * np.mean((one - target) ** 2) for one in q),
        np.mean(alpha * log_prob - np.minimum(*agent.policy.values(params, observation, np.tanh(u)))),
        -np.mean(log_prob), alpha, np.mean(q[0]),
    ]  # fmt: skip
    np.testing.assert_allclose(agent.loss(params, data["batch"], target, noise)[1], expected, rtol=1e-5)
