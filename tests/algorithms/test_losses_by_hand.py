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
    features = agent.policy.features(params, data["observation"])
    outputs, value = agent.policy.parameters_of_action(params, features), agent.policy.value(params, features)
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
    features = agent.policy.features(params, batch["observation"])
    value = agent.policy.outputs(params, features)[np.arange(4), batch["action"]]
    loss, report = agent.loss(params, batch, value + np.array([0.5, -0.5, 3.0, -5.0]), {})
    assert loss == pytest.approx(np.mean([0.125, 0.125, 2.5, 4.5]), rel=1e-5)
    np.testing.assert_allclose(report["metrics"], [loss, value.mean(), 2.25], rtol=1e-5)
    weighted, _ = agent.loss(params, batch | {"weight": np.array([1.0, 0.0, 0.5, 0.0])}, value + 3.0, {})
    assert weighted == pytest.approx(2.5 * 1.5 / 4.0, rel=1e-5)


def test_terms_of_sac():
    agent, rng = AGENTS["sac"](), np.random.default_rng(1)
    state, data = starting_state(agent, rng), replayed(agent, rng, (8,))
    params, target, noise = agent.layout.split(state["parameters"]), rng.standard_normal(8), data["noise"]["action"]
    features = agent.policy.features(params, data["batch"]["observation"])
    mean, log_std = agent.policy.parameters_of_action(params, features)
    u = mean + np.exp(log_std) * noise
    log_prob = np.sum(-0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - np.tanh(u) ** 2), 1)
    q = agent.policy.values(params, features, data["batch"]["action"])
    alpha = np.exp(params["log_temperature"][0])
    expected = [
        sum(0.5 * np.mean((one - target) ** 2) for one in q),
        np.mean(alpha * log_prob - np.minimum(*agent.policy.values(params, features, np.tanh(u)))),
        -np.mean(log_prob), alpha, np.mean(q[0]),
    ]  # fmt: skip
    _, report = agent.loss(params, data["batch"], target, data["noise"], {})
    np.testing.assert_allclose(report["metrics"], expected, rtol=1e-5)


def test_terms_of_td3():
    agent, rng = AGENTS["td3"](), np.random.default_rng(1)
    state, data = starting_state(agent, rng), replayed(agent, rng, (8,))
    params, target, batch = agent.layout.split(state["parameters"]), rng.standard_normal(8), data["batch"]
    features = agent.policy.features(params, batch["observation"])
    q = agent.policy.values(params, features, batch["action"])
    own = agent.policy.values(params, features, agent.policy.mode(params, batch["observation"])[0])[0]
    _, report = agent.loss(params, batch, target)
    expected = [sum(np.mean((one - target) ** 2) for one in q), -np.mean(own), np.mean(q[0])]
    np.testing.assert_allclose(report["metrics"], expected, rtol=1e-5)


def test_target_of_td3_is_smoothed_within_its_clip():
    agent, rng = AGENTS["td3"](), np.random.default_rng(1)
    state, data = starting_state(agent, rng), replayed(agent, rng, (8,))
    params, batch, noise = agent.layout.split(state["target"]), data["batch"], {"target": 4.0 * data["noise"]["target"]}
    features = agent.policy.features(params, batch["next_observation"])
    smooth = np.clip(0.2 * noise["target"], -0.5, 0.5)
    assert np.any(np.abs(smooth) == 0.5)
    action = np.clip(agent.policy.mode(params, batch["next_observation"])[0] + smooth, -1.0, 1.0)
    expected = batch["reward"] + batch["discount"] * np.minimum(*agent.policy.values(params, features, action))
    np.testing.assert_allclose(agent.targets(state, batch, noise), expected, rtol=1e-6)


def test_discrete_sac_sums_over_actions():
    agent, rng = AGENTS["discrete_sac"](), np.random.default_rng(1)
    state, data = starting_state(agent, rng), replayed(agent, rng, (8,))
    params, frozen = agent.layout.split(state["parameters"]), agent.target_layout.split(state["target"])
    batch, alpha = data["batch"], np.exp(params["log_temperature"][0])
    after = agent.policy.features(params, batch["next_observation"])
    logits = agent.policy.parameters_of_action(params, after)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    least = np.minimum(*agent.policy.values(frozen, after))
    expected = batch["reward"] + batch["discount"] * np.sum(p * (least - alpha * np.log(p)), 1)
    np.testing.assert_allclose(agent.targets(state, batch, {}, {}), expected, rtol=1e-5)


def test_tqc_leaves_out_the_highest_quantiles_of_all_critics_together():
    agent, rng = AGENTS["tqc"](), np.random.default_rng(1)
    state, data = starting_state(agent, rng), replayed(agent, rng, (8,))
    params, frozen = agent.layout.split(state["parameters"]), agent.target_layout.split(state["target"])
    batch, distribution = data["batch"], agent.policy.head.distribution
    after = agent.policy.features(params, batch["next_observation"])
    outputs = agent.policy.parameters_of_action(params, after)
    action, log_prob = distribution.sample_and_log_prob(outputs, data["noise"]["next_action"])
    mixed = np.sort(np.concatenate(agent.policy.values(frozen, after, action), 1), 1)[:, :4]  # of six, two left out
    alpha = np.exp(params["log_temperature"][0])
    soft = mixed - alpha * log_prob[:, None]
    expected = batch["reward"][:, None] + batch["discount"][:, None] * soft
    np.testing.assert_allclose(agent.targets(state, batch, data["noise"], {}), expected, rtol=1e-5)
